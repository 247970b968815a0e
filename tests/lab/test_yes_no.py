"""Questions about scenes, and answers read off the first token."""

from __future__ import annotations

from math import log

import pytest
import torch

from halluc.errors import UserError
from halluc.interventions import Method, MethodParams
from halluc.lab.questions import scenes
from halluc.lab.yes_no import FirstTokens, batches, first_tokens, questions, read, rights
from halluc.models import VisionLanguageModel, load_model
from halluc.world import NAMES
from halluc.world.themes import chance


@pytest.fixture(scope="module")
def glyph() -> VisionLanguageModel:
    return load_model("glyph")


def test_as_many_absent_things_as_present_ones_are_asked_for_the_likeliest() -> None:
    for drawn in scenes(6):
        asked = questions([drawn], 2)
        present = [one.category for one in asked if one.present]
        absent = [one.category for one in asked if not one.present]
        assert present == list(drawn.categories[:2]) and len(absent) == len(present)
        least = min(chance(drawn.theme, name) for name in absent)
        others = set(NAMES) - set(drawn.categories) - set(absent)
        assert least >= max(chance(drawn.theme, name) for name in others)
        assert [one.sample.target for one in asked] == ["yes", "no"] * len(present)


def test_a_margin_is_of_all_spellings_together() -> None:
    said = FirstTokens(torch.tensor([[0.0, 0.0]]), torch.tensor([[log(4.0)]]), torch.zeros(1))
    assert said.margin.item() == pytest.approx(-log(2))
    other = FirstTokens(torch.tensor([[1.0, 0.0]]), torch.tensor([[-1.0]]), torch.ones(1))
    both = said.plus(other, 2.0)
    assert both.yes.tolist() == [[2.0, 0.0]] and both.no.item() == pytest.approx(log(4) - 2)
    assert both.entropy.item() == 0


def test_what_is_read_is_what_the_model_says_of_each_question_alone(
    glyph: VisionLanguageModel,
) -> None:
    asked = questions(scenes(2), 1)
    baseline = Method(MethodParams())
    together = first_tokens(glyph, baseline, [one.sample for one in asked])
    for number, one in enumerate(asked):
        (batch,) = batches(glyph, [one.sample])
        with torch.inference_mode():
            logits = glyph.model(**batch.inputs).logits[0, -1].float()
        log_p = logits.log_softmax(-1)
        assert glyph.yes_no_tokens is not None
        yes, no = (log_p[list(ids)].logsumexp(-1) for ids in glyph.yes_no_tokens)
        assert float(together.margin[number]) == pytest.approx(float(yes - no), abs=1e-3)
        entropy = -(log_p.exp() * log_p).sum()
        assert float(together.entropy[number]) == pytest.approx(float(entropy), abs=1e-3)


def test_counts_are_of_scenes_and_favour_is_of_the_right_answer() -> None:
    one, other = scenes(2)
    asked = [*questions([one], 1), *questions([other], 1)[:1]]  # yes, no; yes
    said = FirstTokens(
        torch.tensor([[2.0], [2.0], [0.0]]), torch.tensor([[0.0], [1.0], [3.0]]), torch.ones(3)
    )
    first, second = rights(asked, said)
    assert first == {"n": 2, "right": 1, "yes": 2, "favour": 1, "entropy": 2}
    assert second == {"n": 1, "right": 0, "yes": 0, "favour": -3, "entropy": 1}


def test_a_model_that_spells_yes_in_pieces_is_refused() -> None:
    class Speechless:
        name = "mute"
        yes_no_tokens = None

    with pytest.raises(UserError, match=r"mute.*no single token for yes"):
        read(Speechless(), Method(MethodParams()), None)  # type: ignore[arg-type]
