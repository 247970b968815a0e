"""PAINT end to end on two images whose local and summary tokens are worked out by hand."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from statistics import quantiles
from typing import Any, NamedTuple

import torch
from torch import Tensor

from halluc.interventions import At, BatchState, Method
from halluc.interventions.engine import intervene
from halluc.methods.paint import PAINT
from halluc.models import VisionLanguageModel
from tests.kit.asking import QUESTIONS, logits_after, prepared
from tests.kit.families import llava, prompts

FIRST, LAST_BUT_ONE = 0, 2  # of the tower's four layers


@cache
def model() -> VisionLanguageModel:
    """LLaVA whose vision tower looks sharply enough to have outliers."""
    made = llava(6, tower_layers=4)
    with torch.no_grad():
        modules: list[Any] = made.tower.attention_modules
        for attention in modules:
            attention.q_proj.weight *= 4
            attention.q_proj.bias *= 4
    return made


class Tokens(NamedTuple):
    """Patches of one image."""

    local: set[int]
    summary: set[int]


def cls_attention(layer: int) -> list[list[float]]:
    """The CLS token's attention to each patch, summed over heads, as transformers gives it."""
    pixels = prompts(model(), *QUESTIONS)["pixel_values"]
    model().model.set_attn_implementation({"vision_config": "eager"})
    try:
        with torch.inference_mode():
            tower = model().model.base_model.vision_tower
            found = tower(pixels, output_attentions=True).attentions[layer]
    finally:
        model().model.set_attn_implementation({"vision_config": "sdpa"})
    patches: list[list[float]] = found[:, :, 0, 1:].sum(1).tolist()
    return patches


def by_hand(local_layer: int, summary_layer: int) -> list[Tokens]:
    """A quarter of the patches by one layer, less the outliers of the other."""
    made = []
    for first, features in zip(
        cls_attention(local_layer), cls_attention(summary_layer), strict=True
    ):
        low, _, high = quantiles(features, n=4, method="inclusive")
        summary = {i for i, x in enumerate(features) if x > high + 1.5 * (high - low)}
        top = sorted(range(len(first)), key=lambda i: -first[i])[: len(first) // 4]
        made.append(Tokens(set(top) - summary, summary))
    return made


def chosen() -> list[Tokens]:
    """What the method chooses."""
    inputs = prompts(model(), *QUESTIONS)
    method, state = PAINT(PAINT.Params()), BatchState.of_inputs(model(), inputs)
    with torch.inference_mode(), intervene(model(), method, state):
        model().model(**inputs)
    image = state.tokens.image_mask
    return [
        Tokens(*(patches(state.method[kind][row, image[row]]) for kind in ("local", "summary")))
        for row in range(2)
    ]


def patches(mask: Tensor) -> set[int]:
    return set(mask.nonzero()[:, 0].tolist())


def test_the_first_vision_layer_chooses_local_and_the_last_but_one_summary_tokens() -> None:
    known = by_hand(FIRST, LAST_BUT_ONE)
    assert chosen() == known
    assert all(image.local and image.summary for image in known)
    assert any(len(image.local) < 4 for image in known)  # one is of both kinds, and so summary
    swapped = by_hand(LAST_BUT_ONE, FIRST)
    assert all(one != other for one, other in zip(known, swapped, strict=True))


class Boosted(Method):
    """Adds a share of each logit's size in the last row, for tokens and layers told by hand."""

    name = "boosted"
    rows = "last"
    edited: Iterable[int]
    known: list[Tokens]

    def layers(self, n_layers: int) -> list[int]:
        return list(self.edited)

    def attention_logits(self, at: At, logits: Tensor) -> Tensor:
        share = torch.zeros(2, at.n_keys)
        for row, tokens in enumerate(self.known):
            image = at.image_columns[row].nonzero()[:, 0]
            share[row, image[sorted(tokens.local)]] = 0.7
            share[row, image[sorted(tokens.summary)]] = 0.3
        return logits + share[:, None, None] * logits.abs()


def boosted(*layers: int) -> Tensor:
    method = Boosted(Boosted.Params())
    method.edited, method.known = layers, by_hand(FIRST, LAST_BUT_ONE)
    return logits_after(model(), method, prompts(model(), *QUESTIONS))


def test_layers_from_the_third_to_the_last_are_boosted_by_seven_and_three_tenths() -> None:
    found = logits_after(model(), prepared("paint", model()), prompts(model(), *QUESTIONS))
    assert torch.allclose(found, boosted(2, 3), atol=1e-4)
    for other in ((2,), (3,), (1, 2, 3)):
        assert not torch.allclose(found, boosted(*other), atol=1e-3)
