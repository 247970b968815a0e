"""Tests of one difference, and corrections for many.

McNemar, Psychometrika 12 (1947), mid-p as in Fagerland et al., BMC Med. Res. Methodol. 13 (2013);
Holm, Scand. J. Statist. 6 (1979); Tukey's studentized range as in Kramer, Biometrics 12 (1956).
Benjamini and Hochberg's correction is `scipy.stats.false_discovery_control`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


@dataclass(frozen=True)
class McNemar:
    """Samples on which two runs disagree about right and wrong.

    Attributes:
        n: Samples both runs answered.
        only_ours, only_theirs: Right in one run alone.
        exact, mid_p: Two-sided p-values; the mid-p test is the less conservative one. Both take
            samples for independent, which questions about one image are not.
        odds_ratio: only_ours / only_theirs, the effect size; nan where that is 0.
    """

    n: int
    only_ours: int
    only_theirs: int
    exact: float
    mid_p: float
    odds_ratio: float


def mcnemar(ours: Sequence[bool], theirs: Sequence[bool]) -> McNemar:
    """Test whether one run is right more often than the other.

    Args:
        ours, theirs: [samples], whether each answer is right.
    """
    from scipy.stats import binom, binomtest

    gained = sum(a and not b for a, b in zip(ours, theirs, strict=True))
    lost = sum(b and not a for a, b in zip(ours, theirs, strict=True))
    discordant, fewer = gained + lost, min(gained, lost)
    exact = binomtest(fewer, discordant).pvalue if discordant else 1.0
    mid = 2 * binom.cdf(fewer, discordant, 0.5) - binom.pmf(fewer, discordant, 0.5)
    ratio = gained / lost if lost else float("nan")
    return McNemar(len(ours), gained, lost, float(exact), min(float(mid), 1.0), ratio)


def holm(p: Sequence[float] | Array) -> Array:
    """Correct p-values [tests] so that the chance of any false alarm among them stays below p."""
    import numpy as np

    order = np.argsort(p)
    steps = np.maximum.accumulate((len(p) - np.arange(len(p))) * np.asarray(p)[order])
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def tie_groups(differences: Sequence[float], stderrs: Sequence[float]) -> list[int]:
    """Group runs that cannot be told apart, by all their pairwise differences at the 5% level.

    Group 1 holds the best run and all that are not distinguishable from it, group 2 the best of
    the rest and its like. A pair's variance is the sum of both, which for runs compared with one
    baseline is too large: a split is never claimed too easily.

    Args:
        differences: [runs], higher is better, to the one baseline; 0 for the baseline itself.
        stderrs: [runs], their standard errors.

    Returns:
        Each run's group, counted from 1.
    """
    import numpy as np
    from scipy.stats import studentized_range

    d, variance = np.asarray(differences, dtype=float), np.square(stderrs)
    groups = [0] * len(d)
    waiting = sorted(range(len(d)), key=lambda run: -d[run])
    while waiting:
        best, number = waiting[0], max(groups) + 1
        for run in waiting:
            gap, spread = d[best] - d[run], variance[best] + variance[run]
            q = gap / np.sqrt(spread / 2) if spread else np.inf * gap if gap else 0.0
            if run == best or studentized_range.sf(q, len(d), np.inf) >= 0.05:
                groups[run] = number
        waiting = [run for run in waiting if not groups[run]]
    return groups
