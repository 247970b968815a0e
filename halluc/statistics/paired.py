"""Paired differences: an interval by bootstrap, a p-value by swapping, an effect size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from halluc.scoring.bootstrap import Interval, Totals, chunks, estimate, percentile, resample

if TYPE_CHECKING:
    from halluc.scoring.bootstrap import Array, Metrics


RARE, FINER = 10, (9, 90)
"""While fewer swaps than RARE are as large as what was observed, FINER times the draws are added.

A p-value is 1 / (draws + 1) at least, and a correction over many tests multiplies it: with 10,000
draws nothing on a board of 500 tests could be significant at 5%, with 100,000 nothing among 5,000;
a million are enough for 50,000. (Sequential Monte Carlo tests: Besag and Clifford, Biometrika 78,
1991.)
"""


@dataclass(frozen=True)
class Difference(Interval):
    """Ours minus theirs, with the interval and standard error of the paired bootstrap.

    Attributes:
        p: Two-sided, of the swap test.
        effect: The difference in standard deviations of what an image adds to it (Cohen's d of
            paired values); nan where nothing varies.
    """

    p: float = float("nan")
    effect: float = float("nan")


def differences(
    ours: Array,
    theirs: Array,
    names: list[str],
    metrics: Metrics,
    draws: int,
    seed: int,
    resolve: bool = True,
) -> dict[str, Difference]:
    """Compare two runs metric by metric; metrics that are undefined in one are left out.

    Args:
        ours, theirs: [images, names], what every image contributes, images in the same order.
        metrics: Elementwise function of summed counts.
        draws: Bootstrap resamples, the same images in both runs, and random swaps; ten or a
            hundred times as many swaps where a difference is so large that they say little (RARE).
        seed: Of both.
        resolve: Whether to draw those.
    """
    import numpy as np

    value, base = (estimate(side, names, metrics) for side in (ours, theirs))
    drawn, base_drawn = (resample(side, names, metrics, draws, seed) for side in (ours, theirs))
    swapped = swaps(ours, theirs, names, metrics, draws, seed)
    for level, factor in enumerate(FINER if resolve else (), start=1):
        rare = [n for n in value if as_large(value[n] - base[n], swapped[n]) < RARE]
        if rare:
            more = swaps(ours, theirs, names, metrics, factor * draws, (seed, level))
            swapped |= {name: np.concatenate([swapped[name], more[name]]) for name in rare}
    results = {}
    for name in value:
        if (gap := value[name] - base[name]) == gap:
            interval = percentile(gap, drawn[name] - base_drawn[name])
            deviation = interval.stderr * len(ours) ** 0.5
            effect = gap / deviation if deviation else float("nan")
            p = swap_p(gap, swapped[name])
            results[name] = Difference(**vars(interval), p=p, effect=effect)
    return results


def swaps(
    ours: Array,
    theirs: Array,
    names: list[str],
    metrics: Metrics,
    draws: int,
    seed: int | tuple[int, ...],
) -> dict[str, Array]:
    """Draw the differences there would be if it did not matter which run gave an image's answers.

    Returns:
        A metric's name to its differences [draws], each after swapping the runs' answers about a
        random half of the images.
    """
    import numpy as np

    # The sums of theirs, and what each image adds where ours is kept: half the products of summing
    # both runs by weights (kept, 1 - kept) and (1 - kept, kept).
    mine = np.concatenate([ours - theirs, theirs.sum(0, keepdims=True)])
    other = np.concatenate([theirs - ours, ours.sum(0, keepdims=True)])
    rng, parts = np.random.default_rng(seed), []
    for n in chunks(draws, 2 * len(ours)):
        kept = np.ones((n, len(ours) + 1))
        kept[:, :-1] = rng.integers(2, size=(n, len(ours)))
        one, two = (metrics(Totals(counts, names, kept)) for counts in (mine, other))
        parts.append({name: one[name] - two[name] for name in one})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def swap_p(gap: float, swapped: Array) -> float:
    """Compute the share of swaps with a difference as large as the observed one, itself included.

    A swap that leaves the metric undefined counts as well. For one sample an image, right or
    wrong, this is McNemar's exact test.
    """
    return (1 + as_large(gap, swapped)) / (1 + len(swapped))


def as_large(gap: float, swapped: Array) -> int:
    """Count the swaps with a difference as large as the observed one, or an undefined one."""
    smaller = abs(swapped) < abs(gap) * (1 - 1e-9)
    return len(swapped) - int(smaller.sum())
