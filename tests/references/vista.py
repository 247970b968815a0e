"""VISTA, visual information steering (arXiv 2502.03628; LzVv123456/VISTA dc62252)."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from tests.references.plain_loop import (
    Inputs,
    decoder,
    eager,
    greedy,
    layers,
    next_logits,
    output_edited,
    output_kept,
)
from tests.references.states import decoder_states


def moved(x: Tensor, vector: Tensor, strength: float) -> Tensor:
    """Paper: h + lambda V, at the length that h has."""
    towards = x + strength * vector
    found: Tensor = towards * (x.norm(dim=-1, keepdim=True) / towards.norm(dim=-1, keepdim=True))
    return found


def turned(x: Tensor, vector: Tensor, strength: float) -> Tensor:
    """Code: |x| times the unit vector of unit(x) + lambda (1 + relu(cos(x, -V))) unit(V)."""
    more = 1 + torch.relu(cosine_similarity(x, -vector, dim=-1))[..., None]
    towards = normalize(x, dim=-1) + strength * more * normalize(vector, dim=-1)
    found: Tensor = normalize(towards, dim=-1) * x.norm(dim=-1, keepdim=True)
    return found


def vista(
    model: Any,
    inputs: Inputs,
    *,
    without: Inputs,
    n_tokens: int = 12,
    strength: float = 0.17,
    gamma: float = 0.3,
    window: int | None = None,
    variant: Literal["paper", "official_code"] = "paper",
) -> tuple[list[int], Tensor]:
    """Greedy tokens and mixed logits of a steered model.

    Args:
        model: A transformers model for image and text.
        inputs: One encoded prompt with its image.
        without: The same without its image.
        n_tokens: Tokens at most.
        strength: lambda.
        gamma: Share of the early layers' logits.
        window: How many layers before the last; 5 (paper) or 6 of 32.
        variant: They differ in what is steered and how, in the window and its final norm.
    """
    paper, blocks = variant == "paper", layers(model)
    depth = len(blocks)
    count = window or max(1, (5 if paper else 6) * depth // 32)
    before = list(blocks)[depth - 1 - count : depth - 1]

    def logits(tokens: list[int]) -> Tensor:
        with ExitStack() as stack:
            kept = [stack.enter_context(output_kept(block)) for block in before]
            final = next_logits(model, inputs, tokens)
        states = torch.stack([outputs[-1][0, -1] for outputs in kept])
        if paper:
            states = decoder(model).norm(states)
        early: Tensor = model.lm_head(states).float().mean(0)
        # SLA: gamma times the mean of the window's logits + (1 - gamma) times the last layer's
        return gamma * early + (1 - gamma) * final

    with eager(model), torch.no_grad(), ExitStack() as stack:
        # VSV: what the image changes in the last token, behind each layer
        seen, unseen = (
            decoder_states(model, view, last_normed=False)[1:, -1] for view in (inputs, without)
        )
        vectors = seen - unseen
        if not paper:  # the "principal component" of one vector: the first axis of all layers' own
            vectors[0, 0] += 1
        for block, vector in zip(blocks, vectors, strict=True):
            edit = partial(moved if paper else turned, vector=vector, strength=strength)
            stack.enter_context(output_edited(block if paper else block.mlp, edit))
        return greedy(model, logits, n_tokens)
