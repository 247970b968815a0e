"""A board as markdown tables, one row a method; and any tables between two markers of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from halluc.errors import UserError
from halluc.files import write_whole
from halluc.leaderboard.board import settings
from halluc.leaderboard.formatting import (
    better,
    costs,
    crosschecks,
    headline,
    interval,
    labels,
    selective,
    title,
    with_arrow,
)
from halluc.leaderboard.seed_spread import heading, names, repeated, spreads

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from halluc.leaderboard.board import Board, Row

START, END = "<!-- leaderboard:start -->", "<!-- leaderboard:end -->"
LEGEND = (
    "Below each value its difference to the baseline, bold where it stays significant among all "
    "tested (Holm, .05); the raised number is its tie group. Intervals resample images."
)
COSTS = ("passes a sample", "ms a sample", "failed / unparseable")


def insert(tables: str, file: Path) -> None:
    """Replace what is between the markers of a file by tables.

    The file is replaced as a whole or not at all, and keeps its own ends of lines; a link to it
    stays one.

    Raises:
        UserError: If the file or its markers are missing, or it is not a text.
    """
    try:
        text = file.read_bytes().decode() if file.is_file() else ""
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: is not UTF-8 text ({error})") from None
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise UserError(f"{file}: no lines {START} and {END} to write between")
    write_whole(file.resolve(), f"{before}{START}\n{tables}\n{END}{after}")


def markdown(board: Board) -> str:
    """Return a legend, and one table for each benchmark and setting.

    A cell holds the value with its 95% interval and its tie group; below it the difference to
    the baseline with its own interval; for descriptions, then the difference at equal length.
    Settings that ran with several seeds get a table of their spread.
    """
    tables = [_table(rows) for rows in settings(board)] + [
        _seeds(methods) for methods in repeated(board)
    ]
    return "\n\n".join([LEGEND, *("\n".join(lines) for lines in tables)])


def _table(rows: Sequence[Row]) -> Iterator[str]:
    shown = headline(rows)
    names = [escaped(with_arrow(name, value.higher_is_better)) for name, value in shown.items()]
    checked = [*crosschecks(rows), *selective(rows)]
    names += [escaped(name) for name, _ in checked]
    yield f"**{escaped(title(rows[0]))}**\n"
    yield f"| method | {' | '.join([*names, *COSTS])} |"
    yield "|---" * (1 + len(names) + len(COSTS)) + "|"
    for number, (row, label) in enumerate(zip(rows, labels(rows), strict=True)):
        spent = dict(costs(row))
        cells = [_cell(row, name) for name in shown]
        cells += [said[number] for _, said in checked] + [spent[name] for name in COSTS]
        yield f"| {escaped(label)} | {' | '.join(cells)} |"


def _seeds(methods: Sequence[Sequence[Row]]) -> Iterator[str]:
    shown = headline(methods[0])
    yield f"**{escaped(heading(methods))}**\n"
    metrics = [escaped(with_arrow(name, value.higher_is_better)) for name, value in shown.items()]
    yield f"| method | {' | '.join(metrics)} |"
    yield "|---" * (1 + len(shown)) + "|"
    for label, runs in zip(names(methods), methods, strict=True):
        cells = ("<br>".join(spreads(runs, name)) for name in shown)
        yield f"| {escaped(label)} | {' | '.join(cells)} |"


def escaped(text: str) -> str:
    """Escape what markdown would take for a table's column, HTML, a link or emphasis."""
    for special in "\\`*[]|":
        text = text.replace(special, f"\\{special}")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cell(row: Row, name: str) -> str:
    value = row.metrics[name]
    raised = f" <sup>{value.tie_group}</sup>" if value.tie_group else ""
    lines = [interval(value, value.scale) + raised]
    if gap := row.differences.get(name):
        text = interval(gap, value.scale, "+")
        lines.append(text if better(gap, value) is None else f"**{text}**")
    if (gap := row.same_length.get(name)) and value.higher_is_better is not None:
        lines.append(f"*at equal length {interval(gap, value.scale, '+')}*")
    return "<br>".join(lines)
