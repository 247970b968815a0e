"""The results of one point and of the baseline on the same samples, seeds taken together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from halluc.errors import UserError
from halluc.scoring.bootstrap import DRAWS, Interval, estimate, percentile, resample
from halluc.scoring.scores import tallied
from halluc.statistics.paired import Difference, differences

if TYPE_CHECKING:
    from halluc.evaluation import Evaluation
    from halluc.scoring.bootstrap import Array
    from halluc.store import Scored


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
    ours: Sequence[Evaluation],
    theirs: Sequence[Evaluation],
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
    for name in ours[0].scored:
        pairs = [(a.scored[name], b.scored[name]) for a, b in zip(ours, theirs, strict=True)]
        same &= all(_texts(a) == _texts(b) for a, b in pairs)
        names, mine, other = _counts(pairs)
        metrics = pairs[0][0].reader.metrics
        drawn = resample(mine, names, metrics, draws, seed)
        for metric, value in estimate(mine, names, metrics).items():
            values[f"{name}.{metric}"] = percentile(value, drawn[metric])
        for metric, gap in differences(mine, other, names, metrics, draws, seed).items():
            gaps[f"{name}.{metric}"] = gap
        images[name] = len(mine)
    runs = tuple(run.folder.path.name for run in ours)
    return Outcome(point, values, gaps, images, same, runs)


def _texts(scored: Scored) -> dict[str, str]:
    return {reading.id: reading.text for reading in scored.readings}


def _counts(pairs: Sequence[tuple[Scored, Scored]]) -> tuple[list[str], Array, Array]:
    """Return the counts' names, and both sides' counts [images, names] summed over seeds.

    Only images count about which all runs answered the same samples.
    """
    asked = [{i: _ids(side, i) for i in side.images} for pair in pairs for side in pair]
    first, *others = asked
    images = sorted(i for i, ids in first.items() if all(o.get(i) == ids for o in others))
    if not images:
        raise UserError(f"{pairs[0][0].name}: there is no image that all runs answered")
    rows = [side.images[image].counts for pair in pairs for side in pair for image in images]
    names, counts = tallied(rows)
    ours, theirs = counts.reshape(len(pairs), 2, len(images), len(names)).sum(axis=0)
    return names, ours, theirs


def _ids(scored: Scored, image: str) -> list[str]:
    return [answer.id for answer in scored.images[image].answers]
