"""Standard errors of a mean of answers that come in clusters: questions about one image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    Values = Sequence[float] | NDArray[np.float64]
    Clusters = Sequence[Hashable] | NDArray[np.int64]


def clustered_stderr(
    values: Values,
    clusters: Clusters,
    formula: Literal["inspect_ai", "lmms-eval"] = "inspect_ai",
) -> float:
    """Compute the standard error of the mean of clustered values.

    Args:
        values: [samples].
        clusters: [samples], the image each is about.
        formula: inspect_ai's sums deviations in every cluster, with C / (C - 1) for C clusters;
            lmms-eval's adds the products of different samples of a cluster to the naive variance.

    Returns:
        nan where there are fewer than two clusters.
    """
    import numpy as np

    _, index = np.unique(np.asarray(clusters), return_inverse=True)
    deviations = np.asarray(values, dtype=float) - np.mean(values)
    squares = np.square(np.bincount(index, weights=deviations))
    n, c = len(deviations), len(squares)
    if c < 2:
        return float("nan")
    if formula == "inspect_ai":
        return float(np.sqrt(c / (c - 1) * squares.sum()) / n)
    naive = np.square(deviations).sum()
    return float(np.sqrt(naive / (n - 1) / n + (squares.sum() - naive) / n**2))


def design_effect(values: Values, clusters: Clusters) -> float:
    """Compute how many times larger clustering makes the variance; 1 for constant values."""
    from scipy.stats import sem

    naive = float(sem(values))
    return (clustered_stderr(values, clusters) / naive) ** 2 if naive else 1.0
