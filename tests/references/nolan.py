"""NoLan, No-Language-Hallucination Decoding (arXiv 2602.22144; lingfengren/NoLan 8b6d925)."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import kl_div

from tests.references.plain_loop import Inputs, eager, greedy, next_logits


def nolan(
    model: Any,
    inputs: Inputs,
    *,
    blind: Inputs,
    n_tokens: int = 12,
    alpha: float = 0.8,
    beta: float = 0.0,
    dynamic: bool = True,
    variant: Literal["paper", "official_code"] = "paper",
) -> tuple[list[int], Tensor]:
    """Greedy tokens and contrasted logits.

    Args:
        model: A transformers model for image and text.
        inputs: One encoded prompt with its image.
        blind: The same prompt without its image.
        n_tokens: Tokens at most.
        alpha: The paper's beta; with `dynamic` off its alpha.
        beta: Of a cut-off, which the code leaves out.
        dynamic: Whether the strength follows the divergence.
        variant: They differ by what is added to probabilities before they are compared.
    """
    added = 1e-10 if variant == "official_code" else 0.0

    def logits(tokens: list[int]) -> Tensor:
        l_m, l_u = next_logits(model, inputs, tokens), next_logits(model, blind, tokens)
        strength = alpha
        if dynamic:
            p, q = (torch.softmax(row, -1) + added for row in (l_m, l_u))
            # README: gamma = (KL(l_m || l_u) + KL(l_u || l_m)) / 2.
            gamma = (kl_div(q.log(), p, reduction="sum") + kl_div(p.log(), q, reduction="sum")) / 2
            # README: alpha = beta (tanh(1 / gamma) + 1).
            strength = alpha * (math.tanh(1 / float(gamma)) + 1)
        f = (1 + strength) * l_m - strength * l_u
        return f.masked_fill(l_m.exp() < beta * l_m.exp().max(), -math.inf)

    with eager(model):
        return greedy(model, logits, n_tokens)
