"""Confidence intervals: a bootstrap that resamples images, not questions.

The answers to questions about one image are correlated, so images are resampled. Because metrics
are functions of summed counts, a resample is a row of image weights times the counts, and thousands
of resamples are one matrix product. Two runs on the same images get the same weights, which pairs
their difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Metrics = Callable[[Mapping[str, Array]], Mapping[str, Array]]

DRAWS = 10_000
LEVEL = 0.95
CELLS = 2_000_000  # weights in memory at a time: 16 MB


@dataclass(frozen=True)
class Interval:
    """An estimate, its 95% interval and standard error by image; nan where undefined."""

    value: float
    low: float = float("nan")
    high: float = float("nan")
    stderr: float = float("nan")


def chunks(draws: int, columns: int) -> Iterator[int]:
    """Yield the sizes of chunks of draws, each of `columns` numbers, that fit into memory."""
    rows = max(1, CELLS // max(1, columns))
    for start in range(0, draws, rows):
        yield min(rows, draws - start)


def weights(images: int, draws: int, seed: int) -> Iterator[Array]:
    """Yield multinomial image weights in chunks that together are [draws, images].

    Args:
        images: The number of images; every row sums to it.
        seed: The weights are a function of `images`, `draws` and the seed.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    for n in chunks(draws, images):
        picks = rng.integers(images, size=(n, images)) + np.arange(n)[:, None] * images
        yield np.bincount(picks.ravel(), minlength=n * images).reshape(n, images).astype(float)


class Totals(dict[str, "Array"]):
    """A count's name to its sums [draws]; zeros for a count that no image contributed to."""

    def __init__(self, counts: Array, names: list[str], image_weights: Array) -> None:
        sums = image_weights @ counts
        super().__init__((name, sums[:, column]) for column, name in enumerate(names))
        self._draws = len(image_weights)

    def __missing__(self, name: str) -> Array:
        import numpy as np

        return np.zeros(self._draws)


def estimate(counts: Array, names: list[str], metrics: Metrics) -> dict[str, float]:
    """Return the metrics with every image counted once."""
    import numpy as np

    whole = Totals(counts, names, np.ones((1, len(counts))))
    return {name: float(value[0]) for name, value in metrics(whole).items()}


def resample(
    counts: Array, names: list[str], metrics: Metrics, draws: int, seed: int
) -> dict[str, Array]:
    """Bootstrap the metrics by image.

    Args:
        counts: [images, names], the counts of every image.
        metrics: Elementwise function of summed counts.

    Returns:
        A metric's name to its values [draws].
    """
    import numpy as np

    parts = [metrics(Totals(counts, names, w)) for w in weights(len(counts), draws, seed)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def percentile(value: float, draws: Array, level: float = LEVEL) -> Interval:
    """Return the percentile interval around `value`, from the draws where the metric is defined."""
    import numpy as np

    defined = draws[~np.isnan(draws)]
    if not len(defined) or np.isnan(value):
        return Interval(value)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), float(defined.std()))
