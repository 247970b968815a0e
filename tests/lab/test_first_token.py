"""The sweep of attention to the first token, and what is read off it."""

from __future__ import annotations

import pytest

from halluc.interventions import Method, MethodParams
from halluc.lab.base import Setting
from halluc.lab.experiments.first_token import (
    GAMMAS,
    FirstToken,
    governs,
    judged,
    looked,
    monotone,
    slope,
    slopes,
)
from halluc.lab.questions import scenes
from halluc.lab.yes_no import first_tokens, questions, rights
from halluc.models import VisionLanguageModel, load_model
from halluc.scoring.bootstrap import Interval
from tests.kit.families import build


@pytest.fixture(scope="module")
def glyph() -> VisionLanguageModel:
    return load_model("glyph")


def test_a_slope_is_the_change_where_gamma_doubles() -> None:
    assert slope({0.5: 0.7, 1.0: 0.5, 2.0: 0.3, 4.0: 0.1}) == pytest.approx(-0.2)
    by_gamma = {0.5: [0.0, 0.1], 1.0: [0.1, 0.4], 2.0: [0.2, 0.7]}
    assert slopes(by_gamma, 0).value == pytest.approx(0.2)
    assert (slopes(by_gamma, 0).low, slopes(by_gamma, 0).high) == pytest.approx((0.1, 0.3))


def test_means_that_rise_or_fall_throughout_are_monotone() -> None:
    def means(*values: float) -> dict[float, Interval]:
        return {gamma: Interval(value) for gamma, value in zip((0.5, 1, 2), values, strict=True)}

    assert monotone(means(1, 2, 3)) and monotone(means(3, 2, 1))
    assert not monotone(means(1, 3, 2)) and not monotone(means(1, 1, 2))


def test_the_claim_is_of_a_change_either_way() -> None:
    assert governs(Interval(0.2, 0.1, 0.3)) == governs(Interval(-0.2, -0.3, -0.1)) == "held"
    assert governs(Interval(0.1, -0.1, 0.3)) == "not decided"


def test_the_surest_and_the_best_gamma_are_named() -> None:
    entropy = {0.5: [0.2, 0.3], 1.0: [0.4, 0.5], 2.0: [0.6, 0.7]}
    accuracy = {0.5: [0.5, 0.5], 1.0: [0.5, 1.0], 2.0: [0.5, 0.5]}
    finding = judged(entropy, accuracy, Interval(0.3, 0.2, 0.4), 0)
    assert finding.held == "held"
    assert "least at gamma 0.5, accuracy greatest at 1" in finding.because
    assert "only rises or only falls" in finding.because
    assert "30.0 [20.0, 40.0]% of attention" in finding.because
    assert finding.rows[1]["entropy"] == pytest.approx(0.45)
    assert finding.rows[1]["accuracy"] == pytest.approx(75.0)
    assert [row["entropy_change"] for row in finding.rows] == pytest.approx([-0.2, 0.0, 0.2])
    assert [row["accuracy_change"] for row in finding.rows] == pytest.approx([-25.0, 0.0, -25.0])


def test_at_gamma_one_the_model_says_its_own(glyph: VisionLanguageModel) -> None:
    finding = FirstToken().run(Setting(glyph, (), 2))
    assert [row["gamma"] for row in finding.rows] == list(GAMMAS)
    asked = questions(scenes(2))
    said = first_tokens(glyph, Method(MethodParams()), [one.sample for one in asked])
    each = [one["entropy"] / one["n"] for one in rights(asked, said)]
    (row,) = [row for row in finding.rows if row["gamma"] == 1.0]
    assert row["entropy"] == pytest.approx(sum(each) / 2, abs=1e-4)
    own = looked(Setting(glyph, (), 2), [one.sample for one in asked])
    assert 0 < own.value < 1


def test_a_model_whose_prompt_begins_with_the_image_is_told_so() -> None:
    finding = FirstToken().run(Setting(build("paligemma"), (), 2))
    assert finding.held == "not decided"
    assert "starts with the image" in finding.because
    assert [row["gamma"] for row in finding.rows] == [1.0]
