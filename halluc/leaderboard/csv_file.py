"""A board as CSV: one line a metric of a row, for spreadsheets and data frames."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

from halluc.files import write_whole
from halluc.leaderboard.board import COSTS, Gap, Row, Value

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from halluc.leaderboard.board import Board

NESTED = ("metrics", "differences", "same_length", "right_wrong", "cost")


def write_csv(board: Board, file: Path) -> None:
    """Write the file, replacing an earlier one.

    A text that a spreadsheet would take for a formula gets an apostrophe before it.
    """
    names = [*(name for name in Row.model_fields if name not in NESTED), "metric"]
    names += [*Value.model_fields, *_prefixed("difference", Gap), *_prefixed("same_length", Gap)]
    names += COSTS
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, names)
    writer.writeheader()
    for line in lines(board):
        writer.writerow({name: _cell(value) for name, value in line.items()})
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, stream.getvalue())


def _cell(value: Any) -> Any:
    is_formula = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if is_formula else value


def lines(board: Board) -> Iterator[dict[str, Any]]:
    """Yield the lines by column; what a spreadsheet cannot hold is JSON."""
    for row in board.rows:
        about = {
            name: json.dumps(value) if isinstance(value, dict) else value
            for name, value in row.model_dump(exclude=set(NESTED)).items()
        }
        for name, metric in row.metrics.items():
            yield {
                **about,
                "metric": name,
                **metric.model_dump(),
                **_named("difference", row.differences.get(name)),
                **_named("same_length", row.same_length.get(name)),
                **{cost: row.cost[cost] for cost in COSTS},
            }


def _prefixed(prefix: str, part: type[Gap]) -> list[str]:
    return [f"{prefix}_{field}" for field in part.model_fields]


def _named(prefix: str, gap: Gap | None) -> dict[str, Any]:
    values = gap.model_dump() if gap else {}
    return {f"{prefix}_{field}": values.get(field) for field in Gap.model_fields}
