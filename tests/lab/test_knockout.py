"""Halves of heads by VHD, random ones of the same size, and what is compared."""

from __future__ import annotations

import random

import pytest
import torch

from halluc.interventions import Method
from halluc.lab.base import Setting
from halluc.lab.estimates import Counts
from halluc.lab.experiments.knockout import (
    ABOVE,
    BELOW,
    RANDOM,
    Knockout,
    added,
    halves,
    judged,
    outcome,
    random_heads,
    silencing,
)
from halluc.lab.probes import SilentHeads
from halluc.lab.questions import scenes
from halluc.models import VisionLanguageModel, load_model


@pytest.fixture(scope="module")
def glyph() -> VisionLanguageModel:
    return load_model("glyph")


def test_halves_are_above_and_below_the_median_of_their_layer() -> None:
    vhd = {2: torch.tensor([0.1, 5.0, 3.0, 0.2]), 4: torch.tensor([9.0, 7.0, 8.0, 6.0])}
    assert halves(vhd) == {ABOVE: {2: (1, 2), 4: (0, 2)}, BELOW: {2: (0, 3), 4: (1, 3)}}


def test_halves_are_of_one_size_where_heads_are_odd() -> None:
    found = halves({0: torch.tensor([1.0, 3.0, 2.0])})
    assert found == {ABOVE: {0: (1,)}, BELOW: {0: (0,)}}


def test_random_heads_are_as_many_in_each_layer() -> None:
    like = {1: (0, 1, 2), 3: (4,)}
    drawn = [random_heads(like, 8, random.Random(seed)) for seed in range(9)]
    assert all(len(set(one[1])) == 3 and len(one[3]) == 1 for one in drawn)
    assert len({one[1] for one in drawn}) > 1
    assert random_heads(like, 8, random.Random(0)) == drawn[0]


def test_no_heads_to_silence_is_the_baseline() -> None:
    assert type(silencing({})) is Method
    assert isinstance(silencing({0: (1,)}), SilentHeads)


def test_counts_of_runs_add_up_scene_by_scene() -> None:
    one, other = [{"n": 1.0}, {"n": 2.0}], [{"n": 3.0}, {"n": 4.0}]
    assert added([one, other]) == [{"n": 4.0}, {"n": 6.0}]


def counts(right: float, scenes: int = 6) -> Counts:
    """Scenes of four questions, so many of them right."""
    caption = {"captions": 1.0, "mentions": 4.0, "hallucinated": 1.0, "truth": 4.0, "found": 3.0}
    return [{"n": 4.0, "right": right, "favour": right, **caption} for _ in range(scenes)]


@pytest.mark.parametrize(
    ("above", "below", "held"),
    [(1.0, 3.0, "held"), (3.0, 1.0, "did not hold"), (2.0, 2.0, "did not hold")],
)
def test_the_claim_is_that_more_is_lost_above(above: float, below: float, held: str) -> None:
    silenced = {ABOVE: counts(above), BELOW: counts(below), RANDOM: counts(2.5)}
    finding = judged(counts(4.0), silenced, 12, (2, 3), 0)
    assert finding.held == held
    assert f"{(above - 4) * 25:+.1f} [{(above - 4) * 25:+.1f}" in finding.because
    by_name = {row["heads silenced"]: row for row in finding.rows}
    assert by_name[RANDOM]["accuracy"] == pytest.approx(-37.5)
    assert by_name[BELOW]["chair_i"] == pytest.approx(0.0)


def test_silencing_everything_leaves_an_answer_that_knows_no_image(
    glyph: VisionLanguageModel,
) -> None:
    from halluc.lab.yes_no import ExistenceQuestion, first_tokens

    every = dict.fromkeys(range(glyph.n_layers), tuple(range(glyph.n_heads)))
    asked = [
        ExistenceQuestion(scene, "dog", "dog" in scene.categories).sample for scene in scenes(3)
    ]
    seen, blind = (first_tokens(glyph, silencing(some), asked).margin for some in ({}, every))
    assert torch.allclose(blind, blind[0].expand(3), atol=1e-4)
    assert not torch.allclose(seen, seen[0].expand(3), atol=1e-2)


@pytest.mark.slow
def test_it_runs(glyph: VisionLanguageModel) -> None:
    finding = Knockout().run(Setting(glyph, (), 2))
    assert [row["heads silenced"] for row in finding.rows] == [ABOVE, BELOW, RANDOM]
    whole = outcome(glyph, [{}, {}], scenes(2))
    assert all(one["n"] >= 2 and one["captions"] == 1 for one in whole)
