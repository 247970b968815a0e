"""Tables for programs: plain text of 80 columns, and HTML for notebooks, all text escaped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import zip_longest
from textwrap import wrap
from typing import TYPE_CHECKING

from halluc.leaderboard.board import settings
from halluc.leaderboard.formatting import (
    better,
    headline,
    interval,
    labels,
    number,
    probability,
    title,
    with_arrow,
)
from halluc.plain_text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from halluc.leaderboard.board import Board, Row
    from halluc.leaderboard.run_comparison import Pair

WIDTH = 80
_LEAST = 12
"""Columns that are left to names, however wide numbers are."""


def board_text(board: Board) -> str:
    """Write each benchmark and setting: a line a method under each metric."""
    return "\n\n".join(_setting_text(rows) for rows in settings(board))


def board_html(board: Board) -> str:
    """Write a table for each benchmark and setting: a row a method, a column a metric."""
    tables = []
    for rows in settings(board):
        shown = headline(rows)
        names = [with_arrow(name, value.higher_is_better) for name, value in shown.items()]
        lines = [
            [escape(label), *(_cell(row, name) for name in shown)]
            for row, label in zip(rows, labels(rows), strict=True)
        ]
        tables.append(_html(title(rows[0]), ["method", *names], lines))
    return "\n".join(tables)


def pairs_text(pairs: Mapping[str, Pair], notes: Sequence[str] = ()) -> str:
    """Write comparisons: a line a metric, then McNemar's test and remarks."""
    parts = []
    for name, pair in pairs.items():
        table = aligned([["", *_PAIR], *_pair_lines(pair)])
        parts.append("\n".join([*wrapped(_pair_title(name, pair)), *table, *_remarks(pair)]))
    return "\n\n".join([*parts, *("\n".join(wrapped(note)) for note in notes)])


def pairs_html(pairs: Mapping[str, Pair], notes: Sequence[str] = ()) -> str:
    """Write the same as tables."""
    parts = []
    for name, pair in pairs.items():
        lines = [[escape(cell) for cell in line] for line in _pair_lines(pair)]
        parts.append(_html(_pair_title(name, pair), ["", *_PAIR], lines))
        parts += [f"<p>{escape(text)}</p>" for text in _remarks(pair)]
    return "\n".join([*parts, *(f"<p>{escape(printable(note))}</p>" for note in notes)])


def aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Align cells; the first of a line is a name, cut where the line would be too long."""
    columns = [*zip_longest(*(line[1:] for line in lines), fillvalue="")]
    widths = [max(map(len, column)) for column in columns]
    room = max(_LEAST, WIDTH - sum(widths) - 2 * len(widths))
    names = [name if len(name) <= room else f"{name[: room - 1]}…" for name, *_ in lines]
    first = max(map(len, names))
    written = []
    for name, line in zip(names, lines, strict=True):
        cells = (f"  {cell:>{width}}" for cell, width in zip(line[1:], widths, strict=False))
        written.append(f"{name:<{first}}{''.join(cells)}".rstrip())
    return written


def wrapped(text: str) -> list[str]:
    """Break a text from anywhere into lines."""
    return wrap(printable(text), WIDTH)


def _setting_text(rows: Sequence[Row]) -> str:
    named = [*zip(rows, labels(rows), strict=True)]
    lines = [["", "value, 95%", "minus baseline, 95%", "p, Holm"]]
    for name, value in headline(rows).items():
        lines.append([with_arrow(name, value.higher_is_better)])
        for row, label in named:
            lines.append([f"  {label}", *_numbers(row, name)])
            equal = row.same_length.get(name)
            if equal is not None and value.higher_is_better is not None:
                lines.append(["    at equal length", "", interval(equal, value.scale, "+"), ""])
    return "\n".join([*wrapped(title(rows[0])), *aligned(lines)])


def _numbers(row: Row, name: str) -> Iterator[str]:
    value, gap = row.metrics[name], row.differences.get(name)
    yield interval(value, value.scale)
    yield interval(gap, value.scale, "+") if gap else ""
    yield probability(gap.holm) if gap and gap.holm is not None else ""


def _cell(row: Row, name: str) -> str:
    """Write a metric and its difference, bold where it is decided."""
    value, gap = row.metrics[name], row.differences.get(name)
    text = escape(interval(value, value.scale))
    if gap is None:
        return text
    difference = escape(interval(gap, value.scale, "+"))
    if better(gap, value) is not None:
        difference = f"<b>{difference}</b>"
    p = f" p {escape(probability(gap.holm))}" if gap.holm is not None else ""
    return f"{text}<br>{difference}{p}"


_PAIR = ("first", "second", "first - second, 95%", "p, Holm")


def _pair_title(name: str, pair: Pair) -> str:
    return printable(f"{name}: {pair.n} answers about {pair.n_images} images")


def _pair_lines(pair: Pair) -> Iterator[list[str]]:
    for name, both in pair.metrics.items():
        if both.headline:
            gap, equal = both.difference, both.same_length
            values = [number(value, both.scale) for value in (both.ours, both.theirs)]
            difference = interval(gap, both.scale, "+") if gap else "-"
            p = probability(gap.holm) if gap and gap.holm is not None else ""
            yield [with_arrow(name, both.higher_is_better), *values, difference, p]
            if equal is not None and both.higher_is_better is not None:
                yield ["  at equal length", "", "", interval(equal, both.scale, "+"), ""]


def _remarks(pair: Pair) -> list[str]:
    lines = [line for note in pair.notes for line in wrapped(note)]
    if (test := pair.right_wrong) is not None:
        lines[:0] = wrapped(
            f"right in the first only {test.only_ours}, in the second only {test.only_theirs}; "
            f"McNemar's mid-p {probability(test.mid_p)}"
        )
    return lines


def _html(caption: str, head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Write a table; cells of lines are HTML, caption and head are text."""
    style = 'style="text-align: left"'
    columns = "".join(f"<th {style}>{escape(name)}</th>" for name in head)
    body = "".join(
        "<tr>" + "".join(f"<td {style}>{cell}</td>" for cell in line) + "</tr>\n" for line in lines
    )
    return (
        f"<table>\n<caption {style}>{escape(caption)}</caption>\n"
        f"<thead><tr>{columns}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>"
    )
