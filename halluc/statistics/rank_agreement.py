"""Whether two scores put systems in the same order, with intervals by bootstrap over images.

Spearman's rank correlation, and Kendall's tau-b, which counts pairs of systems; ties are shared
ranks in the one and count in no direction in the other, as in scipy.stats.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from halluc.scoring.bootstrap import Interval, chunks, percentile

if TYPE_CHECKING:
    from halluc.scoring.bootstrap import Array

LEAST = 4
"""Fewer systems than this have so few orders that a correlation says nothing."""


@dataclass(frozen=True)
class RankCorrelation:
    """Both correlations of two scores over `n` systems; nan where one of them is constant."""

    n: int
    spearman: Interval
    kendall: Interval


def rank_correlation(x: Array, y: Array, drawn_x: Array, drawn_y: Array) -> RankCorrelation:
    """Correlate the ranks of systems by two scores.

    The interval says how sure the order is on these systems, not what others would show; resampling
    adds noise to both scores, so it may lie lower than the value.

    Args:
        x, y: [systems].
        drawn_x, drawn_y: [draws, systems], both scores after resampling the same images.
    """
    import numpy as np

    defined = ~(np.isnan(drawn_x) | np.isnan(drawn_y)).any(axis=1)
    intervals = {}
    for name, correlation in (("spearman", spearman), ("kendall", kendall)):
        drawn = correlation(drawn_x[defined], drawn_y[defined])
        intervals[name] = percentile(float(correlation(x[None], y[None])[0]), drawn)
    return RankCorrelation(len(x), **intervals)


def spearman(x: Array, y: Array) -> Array:
    """Return the rank correlation of each row: of two arrays [rows, systems], [rows]."""
    from scipy.stats import rankdata

    ranks = (rankdata(side, axis=1) for side in (x, y))
    a, b = (side - side.mean(axis=1, keepdims=True) for side in ranks)
    return _share((a * b).sum(axis=1), (a * a).sum(axis=1), (b * b).sum(axis=1))


def kendall(x: Array, y: Array) -> Array:
    """Return Kendall's tau-b of each row: of two arrays [rows, systems], [rows]."""
    import numpy as np

    first, second = np.triu_indices(x.shape[1], 1)
    parts, start = [np.empty(0)], 0
    for n in chunks(len(x), len(first)):
        rows = slice(start, start + n)
        a, b = (np.sign(side[rows, first] - side[rows, second]) for side in (x, y))
        parts.append(_share((a * b).sum(axis=1), (a * a).sum(axis=1), (b * b).sum(axis=1)))
        start += n
    return np.concatenate(parts)


def _share(product: Array, one: Array, other: Array) -> Array:
    """Divide a sum of products by the geometric mean of the sums of squares."""
    import numpy as np

    from halluc.scoring.confusion_rates import ratio

    return ratio(product, np.sqrt(one * other))
