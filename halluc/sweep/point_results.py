"""The results of one point and of the baseline on the same samples, seeds taken together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from halluc.scoring.bootstrap import DRAWS, Interval, estimate, percentile, resample
from halluc.scoring.building import build
from halluc.scoring.scores import clusters, tallies
from halluc.statistics.comparison import common
from halluc.statistics.paired import Difference, differences

if TYPE_CHECKING:
    from halluc.scoring.base import Benchmark
    from halluc.scoring.bootstrap import Array
    from halluc.store import RunFolder
    from halluc.types import Answer


@dataclass(frozen=True)
class Outcome:
    """A point and its results.

    Attributes:
        point: The swept parameters; None for the baseline.
        values, differences: "benchmark.metric" to the value, and to ours minus the baseline's.
        n_images: A benchmark's name to the images both answered.
        same: True if every answer is the baseline's, word for word.
        runs: Names of the run folders, one a seed.
    """

    point: Mapping[str, Any] | None
    values: Mapping[str, Interval]
    differences: Mapping[str, Difference]
    n_images: Mapping[str, int]
    same: bool
    runs: tuple[str, ...]


def score_point(
    point: Mapping[str, Any] | None,
    ours: Sequence[RunFolder],
    theirs: Sequence[RunFolder],
    draws: int = DRAWS,
    seed: int = 0,
) -> Outcome:
    """Score a point against the baseline.

    Args:
        ours, theirs: Its runs and the baseline's, seed by seed.
        draws: Bootstrap resamples.
        seed: Of the resampling.
    """
    values: dict[str, Interval] = {}
    gaps: dict[str, Difference] = {}
    images, same = {}, True
    config = ours[0].config
    for name in config.benchmarks:
        benchmark = build(name, config.benchmark_args.get(name))
        pairs = [
            common(benchmark, a.answers(name), b.answers(name))
            for a, b in zip(ours, theirs, strict=True)
        ]
        same &= all(a.text == b.text for pair in pairs for a, b in zip(*pair, strict=True))
        names, mine, other = _counts(benchmark, pairs)
        metrics = benchmark.metrics
        drawn = resample(mine, names, metrics, draws, seed)
        for metric, value in estimate(mine, names, metrics).items():
            values[f"{name}.{metric}"] = percentile(value, drawn[metric])
        for metric, gap in differences(mine, other, names, metrics, draws, seed).items():
            gaps[f"{name}.{metric}"] = gap
        images[name] = len(mine)
    return Outcome(point, values, gaps, images, same, tuple(run.path.name for run in ours))


def _counts(
    benchmark: Benchmark, pairs: Sequence[tuple[list[Answer], list[Answer]]]
) -> tuple[list[str], Array, Array]:
    """Return the counts' names, and both sides' counts [images, names] summed over seeds."""
    grouped = [[clusters(benchmark, side) for side in pair] for pair in pairs]
    images = sorted(set.intersection(*(set(side) for pair in grouped for side in pair)))
    cells = [side[image] for pair in grouped for side in pair for image in images]
    names, counts = tallies(benchmark, cells)
    ours, theirs = counts.reshape(len(pairs), 2, len(images), len(names)).sum(axis=0)
    return names, ours, theirs
