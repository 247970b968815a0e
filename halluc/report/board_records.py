"""What the page shows of a board: a record a row, with numbers as its tables show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from halluc.leaderboard.board import kind_of_decoding, settings
from halluc.leaderboard.building_rows import CONTROLS
from halluc.leaderboard.formatting import better, costs, decoded, labels

if TYPE_CHECKING:
    from halluc.leaderboard.board import Board, Gap, Row, Value


def board_data(board: Board) -> list[dict[str, Any]]:
    """Describe each row: who answered what, metrics with differences, ties and cost."""
    return [
        _row(row, label)
        for rows in settings(board)
        for row, label in zip(rows, labels(rows), strict=True)
    ]


def _row(row: Row, label: str) -> dict[str, Any]:
    return {
        "key": row.key,
        "setting": row.setting,
        "run": row.run,
        "benchmark": row.benchmark,
        "model": row.model,
        "method": row.method,
        "label": label,
        "arguments": row.method_args,
        "decoding": decoded(row),
        "kind": kind_of_decoding(row),
        "seed": row.decoding["seed"],
        "protocol": row.protocol,
        "dtype": row.dtype,
        "baseline": row.baseline == row.key,
        "control": row.method in CONTROLS["yes_no"],
        "compared": row.baseline is not None,
        "recorded": row.record.model_dump() if row.record is not None else None,
        "n": row.n,
        "images": row.n_images,
        "failed": row.failed,
        "unparseable": row.unparseable,
        "withheld": row.withheld,
        "metrics": {name: _metric(row, name, value) for name, value in row.metrics.items()},
        "cost": dict(costs(row)),
        "passes": None if row.record else row.cost["forward_passes"] / row.cost["samples"],
        "ms": None if row.record else 1000 * row.cost["seconds"] / row.cost["samples"],
        "notes": row.notes,
    }


def _metric(row: Row, name: str, value: Value) -> dict[str, Any]:
    gap = row.differences.get(name)
    return {
        "value": _scaled(value.value, value.scale),
        "low": _scaled(value.low, value.scale),
        "high": _scaled(value.high, value.scale),
        "better": value.higher_is_better,
        "headline": value.headline,
        "tie": value.tie_group,
        "difference": _gap(gap, value),
        "equal": _gap(row.same_length.get(name), value),
        "decided": None if gap is None else better(gap, value),
    }


def _gap(gap: Gap | None, value: Value) -> dict[str, float | None] | None:
    if gap is None:
        return None
    return {
        "value": _scaled(gap.value, value.scale),
        "low": _scaled(gap.low, value.scale),
        "high": _scaled(gap.high, value.scale),
        "p": gap.p,
        "holm": gap.holm,
    }


def _scaled(number: float | None, scale: float) -> float | None:
    return None if number is None or number != number else round(number * scale, 6)
