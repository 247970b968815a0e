"""Dose and response: the rates of an error at each level of a property, and their slope.

All are functions of counts that add up over scenes, so that a bootstrap by scene, and one paired
between methods, gives their intervals. The slope is that of least squares over all observations,

    slope = (sum n  sum xy - sum x  sum y) / (sum n  sum xx - (sum x)^2),

times the range of the levels: how much the rate rises from the least to the greatest level.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from halluc.scoring.confusion_rates import ratio

if TYPE_CHECKING:
    from halluc.lab.estimates import Counts
    from halluc.scoring.bootstrap import Array, Metrics


@dataclass(frozen=True)
class Observed:
    """What was observed in a scene at a level.

    Attributes:
        scene: The scene, by which intervals are clustered.
        rate: The name of the rate: "hallucination" or "recall".
        level: The number of the level, 0 for the least.
        x: The dose that the slope is over.
        n: How many chances there were.
        y: In how many of them it happened.
    """

    scene: str
    rate: str
    level: int
    x: float
    n: float
    y: float


def counted(observed: Iterable[Observed], scenes: Sequence[str]) -> Counts:
    """Sum what the rates and slopes need, by scene.

    Args:
        scenes: All of them, in the order of the result; one without observations counts 0.
    """
    by_scene: dict[str, defaultdict[str, float]] = {name: defaultdict(float) for name in scenes}
    for one in observed:
        sums = {
            "n": one.n,
            "y": one.y,
            "x": one.x * one.n,
            "xy": one.x * one.y,
            "xx": one.x**2 * one.n,
            f"n@{one.level}": one.n,
            f"y@{one.level}": one.y,
        }
        for key, value in sums.items():
            by_scene[one.scene][f"{one.rate}/{key}"] += value
    return [dict(sums) for sums in by_scene.values()]


def responses(rates: Sequence[str], levels: int, reach: float) -> Metrics:
    """Return the metrics "rate@level" and "rate rise" as a function of summed counts.

    Args:
        rates: The rates' names.
        levels: The number of levels.
        reach: The dose at the greatest level less that at the least.
    """

    def metrics(totals: Mapping[str, Array]) -> dict[str, Array]:
        found = {}
        for rate in rates:
            for level in range(levels):
                found[f"{rate}@{level}"] = ratio(
                    totals[f"{rate}/y@{level}"], totals[f"{rate}/n@{level}"]
                )
            n, x, y, xy, xx = (totals[f"{rate}/{key}"] for key in ("n", "x", "y", "xy", "xx"))
            spread = n * xx - x**2
            found[f"{rate} rise"] = reach * ratio(n * xy - x * y, spread * (spread > 1e-9))
        return found

    return metrics
