"""Rank correlations are scipy's, row by row; intervals come from the same resampled images."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from halluc.statistics.rank_agreement import kendall, rank_correlation, spearman


def test_every_row_is_scipys_value_with_ties() -> None:
    rng = np.random.default_rng(0)
    x, y = (rng.integers(0, 6, size=(50, 9)).astype(float) for _ in range(2))
    for row, (a, b) in enumerate(zip(spearman(x, y), kendall(x, y), strict=True)):
        assert a == pytest.approx(spearmanr(x[row], y[row]).statistic)
        assert b == pytest.approx(kendalltau(x[row], y[row]).statistic)


def test_a_constant_score_has_no_correlation() -> None:
    x, y = np.ones((1, 4)), np.arange(4.0)[None]
    assert np.isnan(spearman(x, y)).all() and np.isnan(kendall(x, y)).all()


def test_the_value_is_of_all_images_and_the_interval_of_draws() -> None:
    x, y = np.array([1.0, 2, 3, 4, 5]), np.array([10.0, 20, 30, 40, 50])
    drawn = np.stack([y, y, y[::-1], np.where(y == 30, np.nan, y)])
    found = rank_correlation(x, y, np.stack([x] * 4), drawn)
    assert found.n == 5
    for interval in (found.spearman, found.kendall):
        assert interval.value == pytest.approx(1)
        assert interval.low < 0 < interval.high  # one draw of three turns the order around
        assert interval.stderr == pytest.approx(
            np.std([1, 1, -1])
        )  # the undefined draw is left out
