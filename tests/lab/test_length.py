"""Attention over the tokens of a description, and where made-up things stand in it."""

from __future__ import annotations

import numpy as np
import pytest

from halluc.lab.descriptions import Description, Named, _description, described
from halluc.lab.estimates import intervals
from halluc.lab.experiments import length
from halluc.lab.experiments.length import (
    Watched,
    groups,
    judged,
    later,
    places,
    slope,
    table,
    watch,
)
from halluc.lab.probes import Gaze
from halluc.lab.questions import scenes
from halluc.models import VisionLanguageModel, load_model


@pytest.fixture(scope="module")
def glyph() -> VisionLanguageModel:
    return load_model("glyph")


def seen(change: float, tokens: int = 20, named: tuple[Named, ...] = ()) -> Watched:
    """A description during which attention to the image changes by so much a token."""
    image = 0.5 + change * np.arange(tokens)[:, None] * np.ones(6)
    image[:, 0] = np.nan
    return Watched(Description(scenes(1)[0], "", tokens, named), image, np.full(tokens, 0.5))


def test_a_slope_is_the_change_in_ten_tokens() -> None:
    assert slope(np.array([0.9, 0.7, 0.5, 0.3])) == pytest.approx(-2.0)


def test_layers_that_cannot_be_reached_are_in_no_group() -> None:
    one = seen(-0.01)
    one.image[:, 1] = 9.0
    found = groups(one)
    assert list(found) == ["all", "early", "middle", "late"]
    assert found["early"][0] == pytest.approx((9 + 0.5) / 2)
    assert found["late"][0] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("changes", "held"),
    [((-0.01, -0.02, -0.01), "held"), ((0.01, 0.02, 0.01), "did not hold"),
     ((-0.01, 0.01, 0.003), "not decided")],
)  # fmt: skip
def test_the_claim_is_of_attention_that_falls(changes: tuple[float, ...], held: str) -> None:
    finding = judged([seen(change) for change in changes])
    assert finding.held == held
    mean = 10 * float(np.mean(changes)) * 100
    assert f"all layers {mean:+.2f}" in finding.because


def test_descriptions_of_a_token_or_two_decide_nothing() -> None:
    assert judged([seen(-0.1, tokens=2)]).held == "not decided"


def test_things_that_are_made_up_are_compared_with_things_that_are_there() -> None:
    named = (Named("dog", 4, False), Named("cat", 6, False), Named("bus", 15, True))
    counts = places(seen(0.0, named=named).description)
    assert counts == {"wrong": 1, "wrong_at": 15, "true": 2, "true_at": 10}
    assert intervals([counts, counts], later)["later"].value == 10.0


def test_a_row_is_a_stretch_of_tokens() -> None:
    named = (Named("dog", 0, False), Named("bus", 2, True), Named("cat", 19, True))
    bins = table([seen(0.01, 20, named), seen(0.01, 9)])
    assert bins.width == 3
    rows = bins.rows
    assert [row["tokens"] for row in rows[:2]] == ["1-3", "4-6"] and len(rows) == 7
    assert rows[0]["image_all"] == pytest.approx(51.0)
    assert rows[0]["made_up"] == pytest.approx(50.0) and rows[1]["made_up"] is None
    assert rows[6]["image_all"] == pytest.approx(68.5)  # tokens 19 and 20, of one description
    assert rows[6]["made_up"] == pytest.approx(100.0)


def test_a_thing_is_named_where_its_name_begins(glyph: VisionLanguageModel) -> None:
    tokenizer = glyph.processor.tokenizer
    drawn = next(one for one in scenes(9) if len(one.categories) > 1)
    there = drawn.categories[0]
    absent = next(name for name in ("dog", "cat", "bus") if name not in drawn.categories)
    text = f"There is a red {there} on the left. There is a {absent} on the right."
    ids = tokenizer.encode(text, add_special_tokens=False)
    found = _description(glyph, drawn, ids)
    assert [(one.category, one.made_up) for one in found.named] == [(there, False), (absent, True)]
    for one in found.named:
        assert one.category not in tokenizer.decode(ids[: one.token])
        assert tokenizer.decode(ids[one.token :]).strip().startswith(one.category)
    assert found.counts["hallucinated"] == 1 and found.tokens == len(ids)


def test_even_attention_falls_as_a_text_grows(glyph: VisionLanguageModel) -> None:
    drawn = scenes(2)
    for one in watch(glyph, drawn):
        keys = 1 / one.even  # in units of the image's tokens: one more for each token
        assert len(one.even) == one.description.tokens == len(one.image)
        assert np.allclose(np.diff(keys), keys[1] - keys[0], rtol=1e-3) and keys[1] > keys[0]
    ((gaze, written),) = described(glyph, Gaze, drawn)
    assert max(one.tokens for one in written) == len(gaze.share("image", glyph.n_layers))


def test_it_runs(glyph: VisionLanguageModel) -> None:
    from halluc.lab.base import Setting

    finding = length.Length().run(Setting(glyph, (), 2))
    assert finding.held in ("held", "did not hold", "not decided")
    assert all(0 <= float(row["image_all"] or 0) <= 100 for row in finding.rows)
