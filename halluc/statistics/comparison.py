"""The comparison of two runs that answered the same samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from halluc.errors import UserError
from halluc.scoring.bootstrap import DRAWS, estimate
from halluc.scoring.scores import clusters, parsed, tallies
from halluc.statistics.length import same_length
from halluc.statistics.paired import Difference, differences
from halluc.statistics.significance import McNemar, mcnemar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from halluc.scoring.base import Benchmark
    from halluc.scoring.bootstrap import Array
    from halluc.types import Answer


@dataclass(frozen=True)
class Comparison:
    """Two runs on a benchmark.

    Attributes:
        n, n_images: Samples both answered, and the clusters they come in.
        ours, theirs: A metric's name to either run's value on these samples.
        differences: A metric's name to ours minus theirs.
        right_wrong: McNemar's test, where answers are right or wrong.
        same_length: Differences of descriptions cut to equal length; empty where there are none.
    """

    n: int
    n_images: int
    ours: Mapping[str, float]
    theirs: Mapping[str, float]
    differences: Mapping[str, Difference]
    right_wrong: McNemar | None
    same_length: Mapping[str, Difference]


def compare(
    benchmark: Benchmark,
    ours: Iterable[Answer],
    theirs: Iterable[Answer],
    draws: int = DRAWS,
    seed: int = 0,
) -> Comparison:
    """Compare two runs, paired: only samples that both answered count.

    Args:
        draws: Bootstrap resamples, and random swaps.
        seed: Of both; the same answers, draws and seed give the same numbers.

    Raises:
        UserError: If the runs have no sample in common.
    """
    a, b = common(benchmark, ours, theirs)
    names, mine, other = _counts(benchmark, a, b)
    metrics = benchmark.metrics
    cut = [parsed(benchmark, side) for side in same_length(benchmark, a, b)]
    shorter = _counts(benchmark, *cut) if cut[0] else None
    return Comparison(
        n=len(a),
        n_images=len(mine),
        ours=estimate(mine, names, metrics),
        theirs=estimate(other, names, metrics),
        differences=differences(mine, other, names, metrics, draws, seed),
        right_wrong=_right_wrong(benchmark, a, b),
        same_length=differences(*shorter[1:], shorter[0], metrics, draws, seed) if shorter else {},
    )


def common(
    benchmark: Benchmark, ours: Iterable[Answer], theirs: Iterable[Answer]
) -> tuple[list[Answer], list[Answer]]:
    """Parse two runs' answers to the samples that both answered, in the same order.

    Raises:
        UserError: If there are none.
    """
    mine, other = (
        {answer.id: answer for answer in parsed(benchmark, side)} for side in (ours, theirs)
    )
    ids = sorted(mine.keys() & other.keys())
    if not ids:
        raise UserError(f"{benchmark.name}: the two runs answered no sample in common")
    return [mine[id] for id in ids], [other[id] for id in ids]


def _counts(
    benchmark: Benchmark, ours: Sequence[Answer], theirs: Sequence[Answer]
) -> tuple[list[str], Array, Array]:
    """Return the counts' names, and both sides' counts [images, names], images in one order."""
    grouped = [clusters(benchmark, side) for side in (ours, theirs)]
    names, counts = tallies(benchmark, [group for side in grouped for group in side.values()])
    return names, counts[: len(grouped[0])], counts[len(grouped[0]) :]


def _right_wrong(
    benchmark: Benchmark, ours: Sequence[Answer], theirs: Sequence[Answer]
) -> McNemar | None:
    verdicts = [(benchmark.right(a), benchmark.right(b)) for a, b in zip(ours, theirs, strict=True)]
    pairs = [(a, b) for a, b in verdicts if a is not None and b is not None]
    return mcnemar([a for a, _ in pairs], [b for _, b in pairs]) if pairs else None
