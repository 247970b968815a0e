"""ICD, Instruction Contrastive Decoding (arXiv 2403.18715; p1k0pan/ICD 2fa44c5)."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from tests.references.plain_loop import Inputs, eager, greedy, next_logits

INSTRUCTION = (
    "You are a confused objects detector to provide a fuzzy overview or impression of the image."
)


def icd(
    model: Any,
    inputs: Inputs,
    *,
    disturbed: Inputs,
    n_tokens: int = 12,
    alpha: float = 1.0,
    beta: float = 0.1,
) -> tuple[list[int], Tensor]:
    """Greedy tokens and contrasted logits.

    Args:
        model: A transformers model for image and text.
        inputs: One encoded prompt with its image.
        disturbed: The same under the instruction.
        n_tokens: Tokens at most.
        alpha: Strength of the contrast; 0 is the model itself.
        beta: Of the cut-off.
    """

    def logits(tokens: list[int]) -> Tensor:
        # Paper: (1 + lambda) logit(y | v, x) - lambda logit(y | v, d, x), d the disturbance.
        clear = next_logits(model, inputs, tokens)
        f = clear + alpha * (clear - next_logits(model, disturbed, tokens))
        return f.masked_fill(clear < math.log(beta) + clear.max(), -math.inf)

    with eager(model):
        return greedy(model, logits, n_tokens)
