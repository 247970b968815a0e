"""M3ID, Multi-Modal Mutual-Information Decoding (arXiv 2403.14003; sangminwoo/AvisC 772eba4)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from tests.references.plain_loop import Inputs, eager, greedy, next_logits


def m3id(
    model: Any,
    inputs: Inputs,
    *,
    blind: Inputs,
    n_tokens: int = 12,
    decay: float = 0.02,
    beta: float = 0.1,
    gate: float = 1.0,
) -> tuple[list[int], Tensor]:
    """Greedy tokens and corrected logits.

    Args:
        model: A transformers model for image and text.
        inputs: One encoded prompt with its image.
        blind: The same prompt without its image.
        n_tokens: Tokens at most.
        decay: Lambda; 0 is the model itself.
        beta: Of the cut-off.
        gate: Rows are corrected that give no token a greater chance.
    """

    def logits(tokens: list[int]) -> Tensor:
        # Paper: l_c and l_u are log-probabilities with and without the image.
        clear = next_logits(model, inputs, tokens)
        l_c = torch.log_softmax(clear, -1)
        l_u = torch.log_softmax(next_logits(model, blind, tokens), -1)
        # Paper: gamma_t = exp(-lambda t); the code counts from 1.
        gamma = math.exp(-decay * (len(tokens) + 1))
        # The logits stand for the first l_c, which they equal up to a constant.
        f = clear + (1 - gamma) / gamma * (l_c - l_u) if l_c.max().exp() <= gate else clear
        return f.masked_fill(l_c.exp() < beta * l_c.exp().max(), -math.inf)

    with eager(model):
        return greedy(model, logits, n_tokens)
