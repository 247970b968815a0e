"""A board as CSV: one line a metric of a row, for spreadsheets and data frames."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

from halluc.leaderboard.board import Gap, Row, Value

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from halluc.leaderboard.board import Board

NESTED = ("metrics", "differences", "same_length", "right_wrong", "cost")


def write_csv(board: Board, file: Path) -> None:
    """Write the file, replacing an earlier one."""
    names = [*(name for name in Row.model_fields if name not in NESTED), "metric"]
    names += [*Value.model_fields, *_prefixed("difference", Gap), *_prefixed("same_length", Gap)]
    names += ["samples", "forward_passes", "prompt_tokens", "tokens", "seconds"]
    names += ["peak_memory_bytes"]
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, names)
        writer.writeheader()
        writer.writerows(lines(board))


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
                **row.cost,
            }


def _prefixed(prefix: str, part: type[Gap]) -> list[str]:
    return [f"{prefix}_{field}" for field in part.model_fields]


def _named(prefix: str, gap: Gap | None) -> dict[str, Any]:
    values = gap.model_dump() if gap else {}
    return {f"{prefix}_{field}": values.get(field) for field in Gap.model_fields}
