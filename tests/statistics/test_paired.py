"""Intervals and p-values against simulations, and against scipy's own resampling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import stats

from halluc.scoring.bootstrap import DRAWS, estimate, percentile, resample
from halluc.scoring.confusion_rates import ratio
from halluc.statistics.paired import differences, swap_p, swaps
from halluc.statistics.significance import holm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Array = NDArray[np.float64]

NAMES = ["n", "tp", "fp", "fn", "right"]


def metrics(totals: Mapping[str, Array]) -> dict[str, Array]:
    return {
        "accuracy": ratio(totals["right"], totals["n"]),
        "f1": ratio(2 * totals["tp"], 2 * totals["tp"] + totals["fp"] + totals["fn"]),
    }


def answered(rng: np.random.Generator, images: int, difficulty: Array | None = None) -> Array:
    """Counts [images, names] of six questions an image, three of them to be affirmed.

    Images differ in how hard they are, which correlates the answers about one.
    """
    ease = rng.beta(8, 2, size=(images, 1)) if difficulty is None else difficulty
    right = rng.random((images, 6)) < ease
    tp, tn = right[:, :3].sum(1), right[:, 3:].sum(1)
    return np.stack([np.full(images, 6), tp, 3 - tn, 3 - tp, tp + tn], axis=1).astype(float)


TRUE_ACCURACY = 0.8
TRUE_F1 = 0.8  # tp = 3 * .8, fp = fn = 3 * .2


@pytest.mark.parametrize("images", [60, 200])
def test_95_percent_of_intervals_cover_the_truth(images: int) -> None:
    rng = np.random.default_rng(images)
    covered = {"accuracy": 0, "f1": 0}
    for number in range(1000):
        counts = answered(rng, images)
        value = estimate(counts, NAMES, metrics)
        drawn = resample(counts, NAMES, metrics, 1000, number)
        for name, truth in (("accuracy", TRUE_ACCURACY), ("f1", TRUE_F1)):
            interval = percentile(value[name], drawn[name])
            covered[name] += interval.low <= truth <= interval.high
    assert all(930 <= count <= 970 for count in covered.values()), covered


def test_intervals_that_resample_questions_would_not() -> None:
    """What the harness guards against: one question is not one independent observation."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(1000):
        right = np.repeat(rng.random(100) < 0.8, 6)
        spread = 1.96 * right.std(ddof=1) / np.sqrt(600)
        covered += abs(right.mean() - 0.8) <= spread
    assert covered < 700


def test_paired_intervals_cover_and_paired_p_values_are_uniform() -> None:
    rng = np.random.default_rng(5)
    covered, rejected = 0, 0
    for number in range(1000):
        ease = rng.beta(8, 2, size=(100, 1))
        sides = answered(rng, 100, ease), answered(rng, 100, ease)
        found = differences(*sides, NAMES, metrics, 500, number)["f1"]
        covered += found.low <= 0 <= found.high
        rejected += found.p < 0.05
    assert 930 <= covered <= 970
    assert 30 <= rejected <= 70


def test_a_real_difference_is_found() -> None:
    rng = np.random.default_rng(1)
    ease = rng.beta(8, 2, size=(300, 1))
    better, worse = answered(rng, 300, np.minimum(ease + 0.1, 1)), answered(rng, 300, ease)
    found = differences(better, worse, NAMES, metrics, 2000, 0)
    assert found["accuracy"].low > 0
    assert found["accuracy"].p == 1 / 200_001
    assert found["accuracy"].effect > 0.2
    coarse = differences(better, worse, NAMES, metrics, 2000, 0, resolve=False)["accuracy"]
    assert coarse.p == 1 / 2001 and coarse.low == found["accuracy"].low
    mirrored = differences(worse, better, NAMES, metrics, 2000, 0)
    assert mirrored["accuracy"].value == -found["accuracy"].value
    assert mirrored["accuracy"].p == found["accuracy"].p


def test_a_clear_difference_stays_significant_among_ten_thousand_tests() -> None:
    rng = np.random.default_rng(4)
    ease = rng.beta(8, 2, size=(300, 1))
    better, worse = answered(rng, 300, np.minimum(ease + 0.15, 1)), answered(rng, 300, ease)
    clear = differences(better, worse, NAMES, metrics, DRAWS, 0)["accuracy"].p
    none = differences(worse, answered(rng, 300, ease), NAMES, metrics, DRAWS, 0)["accuracy"].p
    assert holm([clear, *[none] * 9_999])[0] < 0.05 < none


def test_scipy_resamples_to_the_same_interval_and_p() -> None:
    rng = np.random.default_rng(2)
    ease = rng.beta(8, 2, size=(80, 1))
    ours, theirs = answered(rng, 80, ease), answered(rng, 80, ease * 0.95)
    found = differences(ours, theirs, NAMES, metrics, 20_000, 0)["f1"]

    def f1(counts: Array) -> Array:
        tp, fp, fn = (counts[..., column].sum(axis=-1) for column in (1, 2, 3))
        return np.asarray(2 * tp / (2 * tp + fp + fn))

    both = np.stack([ours, theirs])

    def gap(images: Array, axis: int = -1) -> Array:
        return f1(ours[images.astype(int)]) - f1(theirs[images.astype(int)])

    boot = stats.bootstrap(
        (np.arange(80),), gap, n_resamples=20_000, method="percentile", rng=1, vectorized=True
    )
    assert found.low == pytest.approx(boot.confidence_interval.low, abs=0.002)
    assert found.high == pytest.approx(boot.confidence_interval.high, abs=0.002)
    assert found.stderr == pytest.approx(boot.standard_error, rel=0.03)
    flat = both.reshape(160, -1)

    def swapped(first: Array, second: Array, axis: int = -1) -> Array:
        return f1(flat[first.astype(int)]) - f1(flat[second.astype(int)])

    test = stats.permutation_test(
        (np.arange(80), np.arange(80, 160)),
        swapped,
        permutation_type="samples",
        n_resamples=20_000,
        vectorized=True,
        rng=1,
    )
    assert found.p == pytest.approx(test.pvalue, abs=0.01)


def test_one_sample_an_image_makes_the_swap_test_mcnemars() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.random((2, 400)) < [[0.75], [0.7]]
    ours, theirs = (np.stack([np.ones(400), side], axis=1) for side in (a, b))
    names = ["n", "right"]

    def share(totals: Mapping[str, Array]) -> dict[str, Array]:
        return {"share": totals["right"] / totals["n"]}

    p = swap_p(a.mean() - b.mean(), swaps(ours, theirs, names, share, 40_000, 0)["share"])
    lost, gained = (b & ~a).sum(), (a & ~b).sum()
    assert p == pytest.approx(stats.binomtest(lost, lost + gained).pvalue, abs=0.01)


def test_what_is_undefined_in_one_run_has_no_difference() -> None:
    ours = np.array([[2.0, 0, 0, 0, 2], [2, 0, 0, 0, 1]])
    theirs = np.array([[2.0, 1, 1, 0, 1], [2, 1, 0, 0, 1]])
    found = differences(ours, theirs, NAMES, metrics, 100, 0)
    assert set(found) == {"accuracy"}
    same = differences(theirs, theirs, NAMES, metrics, 100, 0)["accuracy"]
    assert (same.value, same.low, same.high, same.p) == (0, 0, 0, 1)
    assert np.isnan(same.effect)
