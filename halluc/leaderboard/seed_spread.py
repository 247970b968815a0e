"""The spread of runs that differ only in their seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from halluc.leaderboard.formatting import digits, labels, title

if TYPE_CHECKING:
    from halluc.leaderboard.board import Board, Row

_ABOUT = {
    "model",
    "revision",
    "weights",
    "dtype",
    "device",
    "quantization",
    "attn_implementation",
    "trust_remote_code",
    "image_processing",
    "benchmark",
    "version",
    "dataset",
    "dataset_revision",
    "split",
    "limit",
    "protocol",
    "judge",
    "labels",
    "prompt",
    "options",
    "engine",
    "versions",
}


def repeated(board: Board) -> list[list[list[Row]]]:
    """Group the rows of methods that ran with several seeds, by table and method.

    Rows of a method are in the order of seeds.

    Answers drawn at random differ from seed to seed; resampling images does not show that.
    """
    tables: dict[str, dict[str, list[Row]]] = {}
    for row in board.rows:
        if row.decoding["do_sample"]:
            runs = tables.setdefault(but_for_seed(row), {})
            runs.setdefault(f"{row.method}{row.method_args}", []).append(row)
    spread = [
        [sorted(runs, key=_seed) for runs in methods.values() if _differ(runs)]
        for methods in tables.values()
    ]
    return [methods for methods in spread if methods]


def but_for_seed(row: Row) -> str:
    """Return what a row is about but for its method and seed: rows of one text make one table."""
    return f"{row.model_dump(include=_ABOUT)}{decoding_but_for_seed(row)}"


def decoding_but_for_seed(row: Row) -> dict[str, Any]:
    """Return the decoding of a row without its seed, which greedy search and beams have none of."""
    return {key: value for key, value in row.decoding.items() if key != "seed"}


def heading(methods: Sequence[Sequence[Row]]) -> str:
    """Describe what such a table is about."""
    seeds = sorted({_seed(row) for runs in methods for row in runs})
    about = title(methods[0][0], seed=False).partition(";")[0]
    return f"{about}; mean and standard deviation of seeds {', '.join(map(str, seeds))}"


def names(methods: Sequence[Sequence[Row]]) -> list[str]:
    """Name the methods."""
    return labels([runs[0] for runs in methods])


def spreads(runs: Sequence[Row], metric: str) -> Iterator[str]:
    """Yield mean and standard deviation of a metric over a method's runs, then of differences."""
    scale = runs[0].metrics[metric].scale
    values = [row.metrics.get(metric) for row in runs]
    yield _spread([None if value is None else value.value for value in values], scale)
    if any(row.differences for row in runs):
        gaps = [row.differences.get(metric) for row in runs]
        yield _spread([None if gap is None else gap.value for gap in gaps], scale, "+")


def _spread(values: Sequence[float | None], scale: float, sign: str = "") -> str:
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return "-"
    n = digits(mean(known), scale)
    return f"{mean(known) * scale:{sign}.{n}f} ± {stdev(known) * scale:.{n}f}"


def _seed(row: Row) -> int:
    seed: int = row.decoding["seed"]
    return seed


def _differ(runs: Sequence[Row]) -> bool:
    """True for several runs, each of another seed: else they differ in what boards do not hold."""
    return 1 < len(runs) == len({_seed(row) for row in runs})
