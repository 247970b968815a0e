"""Attending by other weights, next to the model's own attention."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from halluc.interventions import At, Method, MethodParams
from halluc.models import VisionLanguageModel
from halluc.testing import batch_of_questions, reply
from tests.kit.asking import questions
from tests.kit.families import build


class Twice(Method):
    """Attends once more in each layer, and sees what the heads give."""

    name = "twice"
    rows = "last"
    prefix_depends_on = "nothing"

    def __init__(self) -> None:
        super().__init__(MethodParams())
        self.again: list[Tensor] = []
        self.own: list[Tensor] = []

    def attention_weights(self, at: At, weights: Tensor) -> Tensor:
        self.again.append(at.attend(weights)[:, -1])
        self.again.append(at.attend(2 * weights)[:, -1] / 2)
        return weights

    def head_gain(self, at: At, outputs: Tensor) -> Tensor:
        if at.phase != "prefix":
            self.own += [outputs[:, -1]] * 2
        return outputs.new_ones(1, at.n_heads)

    def next_token_logits(self, at: At, logits: Mapping[str, Tensor]) -> Tensor:
        with pytest.raises(ValueError, match="where attention is edited only"):
            at.attend(logits["main"])
        return logits["main"]


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl"])
def test_own_weights_give_own_outputs(family: str, share: bool) -> None:
    model: VisionLanguageModel = build(family)
    method, batch = Twice(), questions(model, 0, 1)
    if share:
        batch = batch_of_questions(batch.prompts, [batch.images[0]] * 2, batch.ids)
    reply(model, method, batch, share=share)
    assert len(method.again) == len(method.own) > 4 * 2
    for again, own in zip(method.again, method.own, strict=True):
        assert torch.allclose(again, own, atol=1e-5)
