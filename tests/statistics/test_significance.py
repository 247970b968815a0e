from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, studentized_range

from halluc.statistics import clustered_stderr, design_effect, holm, mcnemar, tie_groups


def test_mcnemar_by_hand() -> None:
    # 5 discordant pairs, one lost: exact 2 * (1 + 5) / 32, mid-p less P(1) = 5/32
    ours = [True] * 4 + [False] + [True, False] * 3
    theirs = [False] * 4 + [True] + [True, False] * 3
    test = mcnemar(ours, theirs)
    assert (test.n, test.only_ours, test.only_theirs, test.odds_ratio) == (11, 4, 1, 4)
    assert test.exact == pytest.approx(12 / 32)
    assert test.mid_p == pytest.approx(7 / 32)
    assert test.exact == binomtest(1, 5).pvalue


def test_mcnemar_does_not_see_who_is_first_and_needs_disagreement() -> None:
    ours, theirs = [True, True, False, True], [False, True, True, False]
    there, back = mcnemar(ours, theirs), mcnemar(theirs, ours)
    assert (there.exact, there.mid_p) == (back.exact, back.mid_p)
    assert there.odds_ratio == 1 / back.odds_ratio
    same = mcnemar(ours, ours)
    assert (same.exact, same.mid_p) == (1, 1)
    assert np.isnan(same.odds_ratio)


def test_mid_p_has_the_right_size_where_the_exact_test_is_too_careful() -> None:
    rng = np.random.default_rng(0)
    tests = [mcnemar(*(rng.random((2, 60)) < 0.7)) for _ in range(2000)]
    exact, mid = (np.mean([getattr(t, name) < 0.05 for t in tests]) for name in ("exact", "mid_p"))
    assert exact < mid <= 0.055
    assert mid > 0.035


def test_holm_by_hand() -> None:
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.6, 0.9])) == pytest.approx([1, 1])
    assert holm(np.array([])).tolist() == []


def test_holm_keeps_the_chance_of_any_false_alarm() -> None:
    p = np.random.default_rng(0).random((2000, 20))
    assert np.mean([(row < 0.05).any() for row in p]) > 0.6
    assert np.mean([(holm(row) < 0.05).any() for row in p]) == pytest.approx(0.05, abs=0.015)


def test_tie_groups_by_hand() -> None:
    # two that are far above, two that are far below and close to each other, one baseline
    groups = tie_groups([0.10, 0.0, 0.11, -0.2, -0.21], [0.01, 0.0, 0.01, 0.01, 0.01])
    assert groups == [1, 2, 1, 3, 3]
    assert tie_groups([0.0, 0.0], [0.0, 0.0]) == [1, 1]
    assert tie_groups([0.0, 0.01], [0.0, 0.0]) == [2, 1]
    assert tie_groups([0.3], [0.1]) == [1]
    assert tie_groups([], []) == []


def test_the_border_of_a_tie_is_tukeys() -> None:
    q = studentized_range.isf(0.05, 3, np.inf)  # of three runs, the extremes with equal errors
    for gap, groups in ((0.99 * q, [1, 1, 1]), (1.01 * q, [1, 1, 2])):
        assert tie_groups([gap / 2, 0.0, -gap / 2], [1.0, 1.0, 1.0]) == groups


def test_equal_methods_are_seldom_split() -> None:
    rng = np.random.default_rng(0)
    split = 0
    for _ in range(300):
        base = rng.normal(size=200)
        gaps = rng.normal(size=(8, 200)) - base  # eight methods, paired with one baseline
        errors = gaps.std(axis=1) / np.sqrt(200)
        split += max(tie_groups([0.0, *gaps.mean(axis=1)], [0.0, *errors])) > 1
    assert split / 300 <= 0.05


def test_clustered_errors_of_independent_and_of_identical_answers() -> None:
    rng = np.random.default_rng(0)
    values, images = rng.random(3000), np.arange(3000) // 3
    naive = values.std(ddof=1) / np.sqrt(3000)
    assert clustered_stderr(values, images) == pytest.approx(naive, rel=0.05)
    copies = np.repeat(values[:1000], 3)  # three copies of every answer say no more than one
    alone = values[:1000].std(ddof=1) / np.sqrt(1000)
    assert clustered_stderr(copies, images) == pytest.approx(alone)
    assert clustered_stderr(copies, images, "lmms-eval") == pytest.approx(alone, rel=1e-3)
    assert design_effect(copies, images) == pytest.approx(3, rel=1e-3)
    assert design_effect([1.0] * 4, [0, 0, 1, 1]) == 1
    assert np.isnan(clustered_stderr([0.0, 1.0], ["one", "one"]))
