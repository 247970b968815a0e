"""CMAI's masks against focus added up by hand, token by token, in whole and in sliding windows."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from halluc.interventions import At, BatchState
from halluc.interventions.engine import intervene
from halluc.methods.cmai import CMAI
from halluc.models import VisionLanguageModel
from tests.kit.asking import QUESTIONS
from tests.kit.families import build, llava, prompts


class Pass(NamedTuple):
    """What one layer attends to in one pass: weights averaged over heads [B, R, K]."""

    at: At
    attention: Tensor


class Watched(CMAI):
    """CMAI that shows the attention that comes out."""

    seen: list[Pass]

    def attention_weights(self, at: At, weights: Tensor) -> Tensor:
        self.seen.append(Pass(at, weights.mean(1)))
        return weights


def watched(model: VisionLanguageModel, **params: Any) -> list[Pass]:
    method = Watched.for_model(model, params)
    method.seen = []
    inputs = prompts(model, *QUESTIONS)
    with torch.inference_mode(), intervene(model, method, BatchState.of_inputs(model, inputs)):
        model.model.generate(**inputs, do_sample=False, max_new_tokens=3, min_new_tokens=3)
    return method.seen


def passes(seen: list[Pass], layer: int) -> tuple[Pass, Pass]:
    """The prompt's pass and that of the first generated token."""
    prompt, generated, *_ = [one for one in seen if one.at.layer == layer]
    assert prompt.at.prefill and not generated.at.prefill
    return prompt, generated


def weight(one: Pass, sample: int, row: int, token: int) -> float:
    """A row's attention to a token told by its place in the sequence; 0 where it is not seen."""
    column = token - (one.at.n_tokens - one.attention.shape[-1])
    return float(one.attention[sample, row, column]) if column >= 0 else 0.0


def least_focused(
    prompt: Pass, one: Pass, sample: int, row: int, counts_itself: bool = False
) -> set[int]:
    """The quarter of the image a row focuses on least; `one` is the pass the row is in."""
    image = prompt.at.tokens.image_mask[sample].nonzero()[:, 0].tolist()
    length, behind = prompt.at.tokens.input_ids.shape[1], prompt.attention.shape[1]
    focus = {token: weight(one, sample, row, token) for token in image}
    for k in range(behind):
        place = length - behind + k
        itself = one is prompt and k == row
        if prompt.at.rows[sample, k] and (counts_itself or not itself):
            share = weight(one, sample, row, place)
            for token in image:
                focus[token] += share * weight(prompt, sample, k, token)
    return set(sorted(image, key=lambda token: focus[token])[: len(image) // 4])


def masked(one: Pass, image: Tensor, sample: int, row: int) -> set[int]:
    """Image tokens a row no longer attends to in a layer that sees all tokens."""
    return {
        token
        for token in image[sample].nonzero()[:, 0].tolist()
        if weight(one, sample, row, token) == 0
    }


def test_a_tokens_attention_to_itself_is_not_counted() -> None:
    seen = watched(llava(2))  # where counting it would mask another token
    prompt, _ = passes(seen, 1)
    after, _ = passes(seen, 2)
    image, differ = prompt.at.tokens.image_mask, 0
    for sample, row in prompt.at.rows.nonzero().tolist():
        expected = least_focused(prompt, prompt, sample, row)
        assert masked(after, image, sample, row) == expected
        differ += expected != least_focused(prompt, prompt, sample, row, counts_itself=True)
    assert differ


@pytest.mark.parametrize("family", ["gemma3"])
def test_focus_in_a_sliding_window_lands_on_the_prompts_own_tokens(family: str) -> None:
    model = build(family)
    kinds = model.model.config.get_text_config().layer_types
    layer = next(i for i, kind in enumerate(kinds[:-1]) if "sliding" in kind)
    seen = watched(model, layer=layer)
    prompt, generated = passes(seen, layer)
    whole = next(i for i in range(layer + 1, len(kinds)) if "full" in kinds[i])
    _, after = passes(seen, whole)
    assert generated.attention.shape[-1] < generated.at.n_tokens  # the window lost some tokens
    for sample in range(2):
        expected = least_focused(prompt, generated, sample, 0)
        assert masked(after, prompt.at.tokens.image_mask, sample, 0) == expected
