"""Intervals, verdicts and slopes of the laboratory."""

from __future__ import annotations

import random

import numpy as np
import pytest

from halluc.lab.dose_response import Observed, counted, responses
from halluc.lab.estimates import all_of, cells, intervals, mean, paired, spoken, verdict
from halluc.scoring.bootstrap import Interval


def test_a_mean_lies_in_its_interval_which_narrows_with_scenes() -> None:
    rng = random.Random(0)
    few, many = ([rng.gauss(2.0, 1.0) for _ in range(n)] for n in (10, 400))
    for values in (few, many):
        found = mean(values)
        assert found.value == pytest.approx(np.mean(values))
        assert found.low < found.value < found.high
    assert mean(many).high - mean(many).low < 0.4 * (mean(few).high - mean(few).low)


def test_a_paired_difference_of_equal_shifts_has_no_width() -> None:
    theirs = [{"n": 1.0, "sum": float(value)} for value in range(12)]
    ours = [{"n": 1.0, "sum": one["sum"] + 3} for one in theirs]
    gap = paired(ours, theirs, lambda t: {"mean": t["sum"] / t["n"]})["mean"]
    assert (gap.value, gap.low, gap.high) == pytest.approx((3, 3, 3))


@pytest.mark.parametrize(
    ("low", "high", "above", "below"),
    [
        (0.1, 0.3, "held", "did not hold"),
        (-0.1, 0.3, "not decided", "not decided"),
        (-0.3, -0.1, "did not hold", "held"),
        (0.0, 0.0, "did not hold", "did not hold"),
        (float("nan"), float("nan"), "not decided", "not decided"),
    ],
)
def test_a_claim_is_judged_by_the_side_its_interval_lies_on(
    low: float, high: float, above: str, below: str
) -> None:
    effect = Interval((low + high) / 2, low, high)
    assert verdict(effect) == above
    assert verdict(effect, above=False) == below


def test_a_claim_of_parts_holds_if_all_do() -> None:
    assert all_of("held", "held") == "held"
    assert all_of("held", "not decided") == "not decided"
    assert all_of("not decided", "did not hold", "held") == "did not hold"


def test_intervals_are_three_cells_and_words_in_sentences() -> None:
    assert cells("x", Interval(0.5, 0.25, 0.75), 100) == {"x": 50, "x_lo": 25, "x_hi": 75}
    assert cells("x", Interval(float("nan")))["x"] is None
    assert spoken(Interval(0.5, -0.25, 0.75), 100, "+") == "+50.0 [-25.0, +75.0]"
    assert spoken(Interval(-1e-9, -0.25, -0.0)) == "0.0 [-0.2, 0.0]"


def test_the_rise_is_the_fitted_line_s_over_the_range_of_doses() -> None:
    rng, doses = random.Random(1), (0.0, 10.0, 20.0, 40.0)
    observed = [
        Observed(str(scene), "hallucination", level, x, 3, rng.randrange(4))
        for scene in range(9)
        for level, x in enumerate(doses)
    ]
    counts = counted(observed, [str(scene) for scene in range(9)])
    found = intervals(counts, responses(["hallucination"], len(doses), 40.0))
    slope, _ = np.polyfit([one.x for one in observed], [one.y / one.n for one in observed], 1)
    assert found["hallucination rise"].value == pytest.approx(40 * slope)
    at_20 = [one.y / one.n for one in observed if one.level == 2]
    assert found["hallucination@2"].value == pytest.approx(np.mean(at_20))


def test_one_dose_has_no_slope() -> None:
    observed = [Observed(str(scene), "recall", 0, 0.3, 1, 1) for scene in range(5)]
    found = intervals(
        counted(observed, [str(scene) for scene in range(5)]), responses(["recall"], 1, 0.0)
    )
    assert np.isnan(found["recall rise"].value)
