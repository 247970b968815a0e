"""A board as markdown, kept between two markers of a file: one row a method."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from halluc.errors import UserError
from halluc.leaderboard.board import Board, Row, Value, settings
from halluc.leaderboard.table import arrowed, digits, title
from halluc.scoring.benchmark import REGISTRY as BENCHMARKS
from halluc.scoring.benchmark import Metric

START, END = "<!-- leaderboard:start -->", "<!-- leaderboard:end -->"


def insert(board: Board, file: Path) -> None:
    """Replace what stands between the markers of a file by the board's tables.

    Raises:
        UserError: If the file or its markers are missing.
    """
    text = file.read_text() if file.is_file() else ""
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise UserError(f"{file}: no lines {START} and {END} to write between")
    file.write_text(f"{before}{START}\n{markdown(board)}\n{END}{after}")


def markdown(board: Board) -> str:
    """One table for each benchmark and setting.

    A cell holds the value with its 95% interval and, below it, the difference to greedy with its
    own; bold where that interval leaves zero out.
    """
    return "\n\n".join("\n".join(_table(rows)) for rows in settings(board))


def _table(rows: list[Row]) -> Iterator[str]:
    card = BENCHMARKS.get(rows[0].benchmark).card
    metrics = [metric for metric in card.metrics if metric.headline]
    names = [arrowed(metric) for metric in metrics]
    yield f"**{title(rows[0])}**\n"
    yield f"| method | {' | '.join(names)} | passes | ms a sample | failed / unparseable |"
    yield "|---" * (len(metrics) + 4) + "|"
    for row in rows:
        samples = row.cost["samples"]
        cells = [_cell(row, metric) for metric in metrics]
        cells.append(f"{row.cost['forward_passes'] / samples:.1f}")
        cells.append(f"{1000 * row.cost['seconds'] / samples:.1f}")
        cells.append(f"{row.failed} / {row.unparseable}")
        yield f"| {row.method} | {' | '.join(cells)} |"


def _cell(row: Row, metric: Metric) -> str:
    value = _interval(row.metrics[metric.name], metric, sign="")
    if not row.differences:
        return value
    difference = row.differences[metric.name]
    text = _interval(difference, metric, sign="+")
    decided = difference.low is not None and difference.high is not None
    if decided and not (difference.low or 0) <= 0 <= (difference.high or 0):
        text = f"**{text}**"
    return f"{value}<br>{text}"


def _interval(value: Value, metric: Metric, sign: str) -> str:
    if value.value is None or value.low is None or value.high is None:
        return "-"
    n, scale = digits(metric.scale, value.value), metric.scale
    low, high = value.low * scale, value.high * scale
    return f"{value.value * scale:{sign}.{n}f} [{low:{sign}.{n}f}, {high:{sign}.{n}f}]"
