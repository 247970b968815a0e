"""Intervals of what experiments count: a bootstrap by scene, paired where methods are compared.

What is measured is a function of counts that add up over scenes, as in `halluc.scoring.bootstrap`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from halluc.scoring.bootstrap import DRAWS, Interval, estimate, percentile, resample
from halluc.scoring.scores import tallied
from halluc.statistics.paired import Difference, differences

if TYPE_CHECKING:
    from halluc.lab.base import Row, Verdict
    from halluc.scoring.bootstrap import Metrics

Counts = Sequence[Mapping[str, float]]
"""What each scene contributes, by name; a name that is missing counts 0."""

NOTHING = Interval(float("nan"))
"""What stands in a cell that has no number."""


def intervals(counts: Counts, metrics: Metrics, seed: int = 0) -> dict[str, Interval]:
    """Estimate metrics with 95% intervals that resample scenes.

    Args:
        counts: One mapping a scene.
        metrics: Elementwise function of summed counts, nan where undefined.
        seed: Of the resampling.
    """
    names, table = tallied(counts)
    values = estimate(table, names, metrics)
    drawn = resample(table, names, metrics, DRAWS, seed)
    return {name: percentile(value, drawn[name]) for name, value in values.items()}


def paired(ours: Counts, theirs: Counts, metrics: Metrics, seed: int = 0) -> dict[str, Difference]:
    """Estimate ours minus theirs, resampling the same scenes in both.

    Args:
        ours, theirs: One mapping a scene, scenes in the same order.
        metrics, seed: As for `intervals`.
    """
    names, both = tallied([*ours, *theirs])
    return differences(both[: len(ours)], both[len(ours) :], names, metrics, DRAWS, seed)


def mean(values: Sequence[float], seed: int = 0) -> Interval:
    """Estimate the mean of one number a scene."""
    counts = [{"n": 1.0, "sum": value} for value in values]
    return intervals(counts, lambda t: {"mean": t["sum"] / t["n"]}, seed)["mean"]


def cells(name: str, interval: Interval, scale: float = 1) -> Row:
    """Return the three cells of an interval: its value, and its bounds as "_lo" and "_hi"."""
    numbers = (interval.value, interval.low, interval.high)
    value, low, high = (None if x != x else x * scale for x in numbers)
    return {name: value, f"{name}_lo": low, f"{name}_hi": high}


def rounded(number: float, digits: int) -> float:
    """Round a number; what becomes 0 has no sign."""
    return round(number, digits) + 0.0


def spoken(interval: Interval, scale: float = 1, sign: str = "", digits: int = 1) -> str:
    """Write an interval for a sentence: "12.5 [10.1, 14.8]"."""
    value, low, high = (
        "-" if x != x else f"{rounded(x * scale, digits):{sign}.{digits}f}"
        for x in (interval.value, interval.low, interval.high)
    )
    return f"{value} [{low}, {high}]"


def verdict(interval: Interval, above: bool = True) -> Verdict:
    """Judge a claim by its effect's interval: it held if all of it lies on the claimed side of 0.

    It did not hold if all of it lies on the other side or is 0; else it is not decided.

    Args:
        above: The claim is of an effect above 0; else of one below.
    """
    low, high = (interval.low, interval.high) if above else (-interval.high, -interval.low)
    if low > 0:
        return "held"
    return "did not hold" if high <= 0 else "not decided"


def all_of(*verdicts: Verdict) -> Verdict:
    """Judge a claim of several parts: it held if all held, and did not if one did not."""
    if "did not hold" in verdicts:
        return "did not hold"
    return "not decided" if "not decided" in verdicts else "held"
