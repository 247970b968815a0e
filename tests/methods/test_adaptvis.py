"""AdaptVis: the branch and the scaling by hand, the pass that decides, and ScalingVis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor
from transformers import MllamaConfig

from halluc.decoding.batch_encoding import encoded
from halluc.errors import UserError
from halluc.interventions import At
from halluc.methods.adaptvis import AdaptVis, Weights, confidence, weight_of
from halluc.models import VisionLanguageModel
from halluc.testing import batch_of_questions, reply
from tests.kit.asking import answer, prepared, questions
from tests.kit.attention import attending, hidden_from
from tests.kit.families import llava, picture

if TYPE_CHECKING:
    from halluc.interventions.base import Forward, Inputs


@pytest.fixture(scope="module")
def model() -> VisionLanguageModel:
    return llava()


def test_the_branch_by_hand() -> None:
    # likeliest .5, .39 and .4: only .39 is below .4
    rows = [[0.3, 0.5, 0.2], [0.3, 0.39, 0.31], [0.3, 0.3, 0.4]]
    sure = confidence(torch.tensor(rows, dtype=torch.float64).log() + 2)
    assert sure.tolist() == pytest.approx([0.5, 0.39, 0.4])
    assert weight_of(sure + 1e-9, 0.4, 0.5, 1.5).tolist() == [1.5, 0.5, 1.5]
    assert weight_of(torch.tensor([0.4]), 0.4, 0.5, 1.5).tolist() == [1.5]  # not below


def test_the_code_rounds_confidence() -> None:
    # .396 is .40, which is not below .4; .394 is .39
    logits = torch.tensor([[0.304, 0.396, 0.3], [0.306, 0.394, 0.3]]).double().log()
    assert confidence(logits, rounded=True).tolist() == [0.4, 0.39]
    assert weight_of(confidence(logits, rounded=True), 0.4, 0.5, 1.5).tolist() == [1.5, 0.5]
    assert weight_of(confidence(logits), 0.4, 0.5, 1.5).tolist() == [0.5, 0.5]


@pytest.mark.parametrize(("variant", "weight"), [("paper", 0.5), ("official_code", 1.5)])
def test_each_variant_chooses_by_its_own_confidence(variant: Any, weight: float) -> None:
    method, state = AdaptVis(AdaptVis.Params(variant=variant)), Weights()
    logits = torch.tensor([[0.304, 0.396, 0.3]]).log()
    method.prepare(attending("it", state=state), {}, lambda _: logits)
    assert state.chosen is not None and state.chosen.tolist() == [weight]


def test_image_keys_are_scaled_by_each_prompts_weight() -> None:
    state = Weights(torch.tensor([0.5, 1.5]))
    logits = torch.tensor([[2.0, -2.0, 4.0]]).expand(2, 1, 1, 3)
    out = AdaptVis(AdaptVis.Params()).attention_logits(attending("iit", "tit", state=state), logits)
    assert out.flatten(1).tolist() == [[1, -1, 4], [2, -3, 4]]


def test_beams_of_a_prompt_have_its_weight() -> None:
    at = attending("it", "it", beams=2, state=Weights(torch.tensor([0.5, 3.0])))
    out = AdaptVis(AdaptVis.Params()).attention_logits(at, torch.ones(4, 1, 1, 2))
    assert out[:, 0, 0, 0].tolist() == [0.5, 0.5, 3, 3]


def test_nothing_is_scaled_before_a_weight_is_chosen() -> None:
    logits = torch.randn(1, 2, 1, 3)
    at = attending("iit", state=Weights())
    assert torch.equal(AdaptVis(AdaptVis.Params()).attention_logits(at, logits), logits)


def test_a_fixed_weight_needs_no_choice_and_leaves_hidden_keys_hidden() -> None:
    at = attending("iit", rows=2, state=Weights())
    logits = hidden_from(at, torch.ones(1, 1, 2, 3))
    out = AdaptVis(AdaptVis.Params(weight=0.0)).attention_logits(at, logits)
    assert out[0, 0].tolist() == [[0, 0, torch.finfo(torch.float32).min], [0, 0, 1]]


def test_defaults() -> None:
    params = AdaptVis.Params()
    assert (params.smooth, params.sharpen, params.threshold, params.weight) == (0.5, 1.5, 0.4, None)
    assert list(AdaptVis(params).layers(32)) == list(range(32))
    assert (AdaptVis.card.cost.token, AdaptVis.card.cost.prompt) == (1, 1)


class Places(AdaptVis):
    """Notes where logits are edited, and the factors that were chosen."""

    places: set[tuple[str, int, int]]
    factors: list[float]

    def prepare(self, at: At, inputs: Inputs, forward: Forward) -> None:
        super().prepare(at, inputs, forward)
        assert not self.places  # the first pass scales nothing
        self.factors = at.state.chosen.tolist()

    def attention_logits(self, at: At, logits: Tensor) -> Tensor:
        out = super().attention_logits(at, logits)
        if (out != logits).any():
            assert not ((out != logits) & ~at.image_columns[:, None, None]).any()
            self.places.add((at.phase, at.layer, logits.shape[2]))
        return out


def test_acts_in_the_prompts_last_row_after_one_more_pass(model: VisionLanguageModel) -> None:
    batch = questions(model, 0, 1)
    stock = answer(model, prepared("baseline", model), batch)
    sure = stock.logits.softmax(-1).amax(-1)
    between = float(sure.mean())
    method = Places(AdaptVis.Params(threshold=between))
    method.places = set()
    found = answer(model, method, batch)
    assert method.places == {("prefill", layer, 1) for layer in range(4)}
    assert method.factors == [0.5 if one < between else 1.5 for one in sure.tolist()]
    assert set(method.factors) == {0.5, 1.5}
    assert found.passes == [1.0 + found.tokens.shape[1]] * 2
    alone = answer(
        model, prepared("adaptvis", model, weight=method.factors[1]), questions(model, 1)
    )
    assert torch.allclose(found.logits[1], alone.logits[0], atol=1e-4)
    assert alone.passes == [float(alone.tokens.shape[1])]


def test_layers_for_the_image_alone_are_refused() -> None:
    with pytest.raises(UserError, match=r"'adaptvis' weighs image tokens.*for the image alone"):
        AdaptVis.requires(AdaptVis.Params(), MllamaConfig(), "some/model")


def test_questions_about_one_image_are_weighed_with_the_image_in_sight(
    model: VisionLanguageModel,
) -> None:
    texts = ["is there a dog ?", "is there a car in the image ?"]
    batch = encoded(model, batch_of_questions(texts, [picture(0)] * 2, ["0", "1"]))
    stock = reply(model, prepared("baseline", model), batch, share=False)
    sure = stock.logits.softmax(-1).amax(-1)
    method = Places(AdaptVis.Params(threshold=float(sure.mean())))
    for share in (True, False):
        method.places = set()
        reply(model, method, batch, share=share)
        assert sorted(method.factors) == [0.5, 1.5]
        assert method.factors == [0.5 if one < sure.mean() else 1.5 for one in sure.tolist()]
