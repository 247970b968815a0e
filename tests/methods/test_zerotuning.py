"""ZeroTuning: hand-computed weights, the first real token, and its two forms in the engine."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from halluc.interventions import At, Method
from halluc.methods.zerotuning import ZeroTuning, first_token_bias
from halluc.models.tokens import first_token
from tests.kit.asking import logits_after
from tests.kit.families import llava, prompts
from tests.references.zerotuning import scale_first_token

REAL = torch.tensor([[True, True, True, True], [False, False, True, True]])


def test_the_first_token_is_the_first_real_one() -> None:
    assert first_token(REAL).int().argmax(1).tolist() == [0, 2]
    assert first_token(REAL).sum(1).tolist() == [1, 1]


def test_hand_computed_weights() -> None:
    # D = -.5 * .5 + 1 = .75.
    row = torch.tensor([0.5, 0.3, 0.2]).view(1, 1, 1, 3)
    first = torch.tensor([[True, False, False]])
    out = scale_first_token(row, first, 0.5)
    assert out.flatten().tolist() == pytest.approx([0.25 / 0.75, 0.4, 0.2 / 0.75])


@pytest.mark.parametrize("gamma", [0.25, 0.6, 1.0, 4.0])
def test_the_bias_is_the_same_edit(gamma: float) -> None:
    scores = torch.randn(2, 3, 5, 4, generator=torch.Generator().manual_seed(0))
    scores = scores.masked_fill(~REAL[:, None, None], torch.finfo(torch.float32).min)
    biased = (scores + first_token_bias(first_token(REAL), gamma)).softmax(-1)
    scaled = scale_first_token(scores.softmax(-1), first_token(REAL), gamma)
    assert torch.allclose(biased, scaled, atol=1e-6)


class AfterSoftmax(Method):
    """The same through the other seam, on all rows."""

    name = "after-softmax"
    rows = "all"

    def attention_weights(self, at: At, weights: Tensor) -> Tensor:
        return scale_first_token(weights, at.first_token, 0.3)


def test_both_forms_agree_in_the_engine() -> None:
    model = llava()
    inputs = prompts(model, "is there a dog ?", "please describe this image is there a car ?")
    found = []
    for method in (
        ZeroTuning(ZeroTuning.Params(gamma=0.3, last_layer=3)),
        AfterSoftmax(AfterSoftmax.Params()),
        Method(Method.Params()),
    ):
        found.append(logits_after(model, method, inputs))
    bias, weights, stock = found
    assert torch.allclose(bias, weights, atol=1e-5)
    assert (bias - stock).abs().max() > 1e-2


def test_only_chosen_heads_are_biased() -> None:
    model = llava()
    inputs = prompts(model, "is there a dog ?", "describe this image please")
    seen: list[Tensor] = []

    class Watched(ZeroTuning):
        def attention_bias(self, at: At) -> Tensor:
            seen.append(super().attention_bias(at))
            return seen[-1]

    logits_after(model, Watched.for_model(model, {"gamma": 2.0, "heads": {1: (0, 3)}}), inputs)
    (bias,) = seen
    assert bias.shape == (2, 4, 1, inputs["input_ids"].shape[1])
    assert bias.sum(-1)[..., 0].tolist() == [pytest.approx([0.6931472, 0, 0, 0.6931472])] * 2


def test_shallow_and_middle_layers_by_default() -> None:
    model = llava(num_hidden_layers=32)
    assert ZeroTuning.for_model(model).layers(32) == range(22)
