"""VCD, Visual Contrastive Decoding (arXiv 2311.16922; DAMO-NLP-SG/VCD d6568ff)."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from tests.references.plain_loop import Inputs, eager, greedy, next_logits

BETA = {"paper": 0.1, "official_code": 0.2}  # the latter in cd_scripts/llava1.5_pope.bash


def diffused(pixels: Tensor, noise: Tensor, step: int = 500) -> Tensor:
    """The processor's normalised pixels after `step` of 1000 steps of forward diffusion."""
    # The variance added at each step: a sigmoid from 1e-5 to 5e-3.
    betas = torch.sigmoid(torch.linspace(-6, 6, 1000)) * (0.5e-2 - 1e-5) + 1e-5
    # Paper: q(v_t | v_{t-1}) = N(sqrt(1 - gamma) v_{t-1}, gamma I). All steps up to t at once:
    # v_t = sqrt(abar_t) v_0 + sqrt(1 - abar_t) eps. The code's table starts at 0, so that
    # step 500 has 501 factors.
    kept = torch.cumprod(1 - betas, dim=0)[step]
    return kept.sqrt() * pixels + (1 - kept).sqrt() * noise


def vcd(
    model: Any,
    inputs: Inputs,
    *,
    noise: Tensor,
    n_tokens: int = 12,
    alpha: float = 1.0,
    beta: float | None = None,
    step: int = 500,
    variant: Literal["paper", "official_code"] = "paper",
) -> tuple[list[int], Tensor]:
    """Greedy tokens and contrasted logits.

    Args:
        model: A transformers model for image and text.
        inputs: One encoded prompt with its image.
        noise: Standard normal, of the shape of `inputs["pixel_values"]`. Both variants keep it
            for the whole answer. The code draws again for every question.
        n_tokens: Tokens at most.
        alpha: Strength of the contrast; 0 is the model itself.
        beta: Of the cut-off; the variant's own where None.
        step: Diffusion steps, 0 to 999.
        variant: The two differ by the default of `beta`.
    """
    least = math.log(BETA[variant] if beta is None else beta)
    # Paper: the distorted image v' = v_T replaces v; the question x and the answer y_<t stay.
    noisy = dict(inputs) | {"pixel_values": diffused(inputs["pixel_values"], noise, step)}

    def logits(tokens: list[int]) -> Tensor:
        clear = next_logits(model, inputs, tokens)
        distorted = next_logits(model, noisy, tokens)
        # Paper: (1 + alpha) logit(y | v, x, y_<t) - alpha logit(y | v', x, y_<t).
        contrasted = (1 + alpha) * clear - alpha * distorted
        # Paper: V_head = {y: p(y | v, x, y_<t) >= beta max p}; p = 0 outside. The code compares
        # logits with log(beta) + max, which is the same.
        return contrasted.masked_fill(clear < least + clear.max(), -math.inf)

    with eager(model):
        return greedy(model, logits, n_tokens)
