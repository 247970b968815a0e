"""DeCo, Dynamic Correction Decoding (arXiv 2410.11779; zjunlp/Deco fee8d75)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tests.references.plain_loop import Inputs, decoder, eager, forward, greedy, layers


def likely(chances: Tensor, top_p: float, top_k: int) -> list[int]:
    """The candidates: the best tokens up to the one with which they reach `top_p`."""
    order = chances.argsort(descending=True, stable=True).tolist()
    kept: list[int] = []
    reached = 0.0
    for token in order[:top_k]:
        kept.append(token)
        reached += float(chances[token])
        if reached >= top_p:
            break
    return kept


def deco(
    model: Any,
    inputs: Inputs,
    *,
    n_tokens: int = 12,
    alpha: float = 0.6,
    top_p: float = 0.9,
    top_k: int = 20,
    among_layers: Sequence[int] | None = None,
    chosen: list[int] | None = None,
) -> tuple[list[int], Tensor]:
    """Greedy tokens and corrected logits.

    Args:
        model: A transformers model for image and text.
        inputs: One encoded prompt with its image.
        n_tokens: Tokens at most.
        alpha: Strength of the correction.
        top_p: Candidates end with the one that reaches this probability; 1 keeps all of `top_k`.
        top_k: Candidates at most.
        among_layers: Hidden states to choose from, 0 the embedding; 20 to 28 of 32 by depth.
        chosen: Filled with the layer chosen at each step.
    """
    depth = len(layers(model))
    first, last = 20 * depth // 32, 28 * depth // 32
    choice = list(among_layers or range(first, last + 1))

    def logits(tokens: list[int]) -> Tensor:
        output = forward(model, inputs, tokens, output_hidden_states=True)
        final = output.logits[0, -1].float()
        kept = likely(final.softmax(-1), top_p if top_p < 1 else math.inf, top_k)
        best, anchor = -1.0, torch.zeros_like(final)
        place = -1
        for layer in choice:
            # code: lm_head(norm(hidden_states[layer])), hidden_states[0] being the embedding
            with torch.no_grad():
                early = model.lm_head(decoder(model).norm(output.hidden_states[layer][0, -1]))
            surest = float(early.float().softmax(-1)[kept].max())
            if surest > best:
                best, anchor, place = surest, early.float(), layer
        if chosen is not None:
            chosen.append(place)
        # code: logits + alpha * max_prob * early logits for candidates, -inf for all others
        corrected = torch.full_like(final, -math.inf)
        corrected[kept] = (final + alpha * best * anchor)[kept]
        return corrected

    with eager(model):
        return greedy(model, logits, n_tokens)
