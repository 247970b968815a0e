"""Masked views, random masks of the same size, and AGLA's sum of logits."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from halluc.lab.base import Setting
from halluc.lab.estimates import Counts
from halluc.lab.experiments.masked import (
    AT_RANDOM,
    BOTH,
    BOTH_AT_RANDOM,
    MASKED,
    WHOLE,
    Masked,
    judged,
    masked_to,
    views,
)
from halluc.lab.questions import scenes
from halluc.lab.yes_no import ExistenceQuestion, first_tokens, questions, rights
from halluc.methods.agla import AGLA
from halluc.models import VisionLanguageModel, load_model
from halluc.models.image_text_matcher import Matcher, find_matcher


@pytest.fixture(scope="module")
def glyph() -> VisionLanguageModel:
    return load_model("glyph")


@pytest.fixture(scope="module")
def matcher() -> Matcher:
    source = find_matcher("glyph")
    return Matcher(source, 1, "cpu")


@cache
def asked() -> tuple[ExistenceQuestion, ...]:
    return tuple(questions(scenes(2), 1))


def black(image: object) -> int:
    """How many pixels of a picture are black."""
    return int((np.asarray(image) == 0).all(-1).sum())


def test_a_random_mask_hides_as_much_as_aglas_but_elsewhere(matcher: Matcher) -> None:
    made = views(matcher, asked(), torch.Generator().manual_seed(1))
    again = views(matcher, asked(), torch.Generator().manual_seed(1))
    for one, other, same in zip(made[MASKED], made[AT_RANDOM], again[AT_RANDOM], strict=True):
        assert black(one) > 100
        assert black(other) == pytest.approx(black(one), abs=30)  # some are black already
        assert not np.array_equal(np.asarray(one), np.asarray(other))
        assert np.array_equal(np.asarray(other), np.asarray(same))


def test_the_least_relevant_part_goes() -> None:
    image = asked()[0].sample.load_image()
    relevance = torch.zeros(4, 4)
    relevance[:, :2] = 1.0  # the left half bears on the question
    pixels = np.asarray(masked_to(image, relevance, 0.5))
    assert black(pixels) == pytest.approx(image.width * image.height / 4, rel=0.02)
    assert black(pixels[:, : image.width // 2]) < 5


def test_the_sum_of_views_is_what_agla_says(glyph: VisionLanguageModel) -> None:
    agla = AGLA.for_model(glyph, {"matcher": "glyph"})
    finding = Masked().run(Setting(glyph, (), 2))
    row = next(row for row in finding.rows if row["view"] == BOTH)
    every = questions(scenes(2))
    counts = rights(every, first_tokens(glyph, agla, [one.sample for one in every]))
    share = 100 * sum(one["right"] for one in counts) / sum(one["n"] for one in counts)
    favour = sum(one["favour"] for one in counts) / sum(one["n"] for one in counts)
    assert row["accuracy"] == pytest.approx(share)
    assert row["favour"] == pytest.approx(favour, abs=1e-3)


def counts(right: float) -> Counts:
    """Five scenes of four questions, so many of them right."""
    return [{"n": 4.0, "right": right, "yes": 2.0, "favour": right} for _ in range(5)]


@pytest.mark.parametrize(
    ("whole", "summed", "held"), [(2.0, 3.0, "held"), (3.0, 2.0, "did not hold")]
)
def test_the_claim_is_that_the_sum_beats_the_whole_image(
    whole: float, summed: float, held: str
) -> None:
    said = {WHOLE: whole, MASKED: 1.0, BOTH: summed, AT_RANDOM: 1.5, BOTH_AT_RANDOM: 2.5}
    finding = judged({name: counts(right) for name, right in said.items()}, 0)
    assert finding.held == held
    assert f"accuracy by {25 * (summed - whole):+.1f} [" in finding.because
    assert f"one minus the other is {25 * (summed - 2.5):+.1f} [" in finding.because
    assert [row["view"] for row in finding.rows] == list(said)
    assert finding.rows[0]["difference"] == 0.0
