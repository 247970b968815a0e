"""A board's table for a narrow window: methods below one another, metric by metric."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from halluc.leaderboard.formatting import (
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

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from halluc.leaderboard.board import Gap, Row, Value


def narrow_tables(rows: Sequence[Row], coloured: Callable[[Gap, Value], str]) -> Iterator[Table]:
    """Yield a table of metrics, a block of lines each, and one of costs.

    Args:
        rows: Of one benchmark and setting.
        coloured: Formats a difference.
    """
    names = [f"  {label}" for label in labels(rows)]
    table = Table(title=Text(title(rows[0]), "table.title"), title_justify="left")
    for column in ("", "value", "- baseline", "p, Holm"):
        table.add_column(column, justify="right" if column else "left")
    for metric, first in headline(rows).items():
        table.add_row(Text(with_arrow(metric, first.higher_is_better), "bold"))
        for name, row in zip(names, rows, strict=True):
            value, gap = row.metrics[metric], row.differences.get(metric)
            p = probability(gap.holm) if gap and gap.holm is not None else ""
            cell = coloured(gap, value) if gap else "-" * bool(row.differences)
            table.add_row(Text(name), interval(value, value.scale), cell, p)
            equal = row.same_length.get(metric)
            if equal is not None and value.higher_is_better is not None:
                gain = Text(interval(equal, value.scale, "+"))
                table.add_row("    at equal length", "", gain)
    for column, cells in (*crosschecks(rows), *selective(rows)):
        table.add_row(Text(column, "bold"))
        for name, cell in zip(names, cells, strict=True):
            table.add_row(Text(name), cell)
    yield table
    yield _costs(rows)


def _costs(rows: Sequence[Row]) -> Table:
    table = Table()
    table.add_column("")
    for what, _ in costs(rows[0]):
        table.add_column(what.replace(" ", "\n", 1), justify="right")
    for label, row in zip(labels(rows), rows, strict=True):
        table.add_row(Text(f"  {label}"), *(cost for _, cost in costs(row)))
    return table
