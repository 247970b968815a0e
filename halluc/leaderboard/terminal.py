"""A board as tables for the terminal: a row a metric, a column a method, then its difference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from halluc.leaderboard.board import settings
from halluc.leaderboard.formatting import (
    better,
    costs,
    crosschecks,
    headline,
    interval,
    labels,
    probability,
    selective,
    title,
    with_arrow,
)
from halluc.leaderboard.narrow_table import narrow_tables
from halluc.leaderboard.seed_spread import heading, names, repeated, spreads

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from halluc.leaderboard.board import Board, Gap, Row, Value


def render(board: Board, width: int | None = None) -> Iterator[Table]:
    """Yield a table for each benchmark and setting: rows of the board become columns.

    Then one for each setting that ran with several seeds.

    Args:
        width: Of the window, in characters: methods of a table that does not fit stand below one
            another. None for a window without end.
    """
    for rows in settings(board):
        table = _table(rows)
        if width is None or _width(table) <= width:
            yield table
        else:
            yield from narrow_tables(rows, _coloured)
    for methods in repeated(board):
        yield _seeds(methods)


def _width(table: Table) -> int:
    """Measure a table none of whose cells is broken, without its lines."""
    console = Console(width=100_000)
    return Measurement.get(console, console.options, table).maximum - 2


def _table(rows: Sequence[Row]) -> Table:
    table = Table(title=Text(title(rows[0]), "table.title"), title_justify="left")
    table.add_column("")
    for row, label in zip(rows, labels(rows), strict=True):
        table.add_column(Text(label), justify="right")
        if row.differences:
            table.add_column(Text(f"{label} - baseline"), justify="right")
            table.add_column("p, Holm", justify="right")
    for name, value in headline(rows).items():
        table.add_row(Text(with_arrow(name, value.higher_is_better)), *_cells(name, rows))
        if any(name in row.same_length for row in rows) and value.higher_is_better is not None:
            table.add_row("  at equal length", *_equal(name, rows))
    for name, cells in (*crosschecks(rows), *selective(rows)):
        table.add_row(Text(name), *_spread(rows, cells))
    table.add_section()
    for lines in zip(*map(costs, rows), strict=True):
        table.add_row(lines[0][0], *_spread(rows, [text for _, text in lines]))
    return table


def _spread(rows: Sequence[Row], cells: Sequence[str]) -> Iterator[str]:
    """Yield a cell for each row, and blanks in its columns of differences."""
    for row, text in zip(rows, cells, strict=True):
        yield text
        if row.differences:
            yield from ("", "")


def _seeds(methods: Sequence[Sequence[Row]]) -> Table:
    table = Table(title=Text(heading(methods), "table.title"), title_justify="left")
    table.add_column("")
    for label, runs in zip(names(methods), methods, strict=True):
        table.add_column(Text(label), justify="right")
        if any(row.differences for row in runs):
            table.add_column(Text(f"{label} - baseline"), justify="right")
    for name, value in headline(methods[0]).items():
        cells = [text for runs in methods for text in spreads(runs, name)]
        table.add_row(Text(with_arrow(name, value.higher_is_better)), *cells)
    return table


def _cells(name: str, rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        value = row.metrics[name]
        yield interval(value, value.scale)
        if row.differences:
            gap = row.differences.get(name)
            yield _coloured(gap, value) if gap else "-"
            yield probability(gap.holm) if gap and gap.holm is not None else ""


def _equal(name: str, rows: Sequence[Row]) -> Iterator[str]:
    """Yield differences at equal length in the columns of differences; without a corrected p."""
    for row in rows:
        yield ""
        if row.differences:
            gap = row.same_length.get(name)
            yield escape(interval(gap, row.metrics[name].scale, "+")) if gap else "-"
            yield ""


def _coloured(gap: Gap, value: Value) -> str:
    """Format a difference, green or red only where it stays significant over the board."""
    text = escape(interval(gap, value.scale, "+"))
    colour = {True: "green", False: "red", None: None}[better(gap, value)]
    return f"[{colour}]{text}[/]" if colour else text
