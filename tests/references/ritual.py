"""RITUAL, Random Image Transformations (arXiv 2405.17821; sangminwoo/RITUAL 52065a6)."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from tests.references.plain_loop import Inputs, eager, greedy, next_logits


def ritual(
    model: Any,
    inputs: Inputs,
    *,
    transformed: Inputs,
    n_tokens: int = 12,
    alpha: float = 3.0,
    beta: float = 0.1,
) -> tuple[list[int], Tensor]:
    """Greedy tokens and summed logits.

    Args:
        model: A transformers model for image and text.
        inputs: One encoded prompt with its image.
        transformed: The same prompt with the transformed image.
        n_tokens: Tokens at most.
        alpha: Weight of the transformed image's logits; 0 is the model itself.
        beta: Of the cut-off.
    """

    def logits(tokens: list[int]) -> Tensor:
        # Code: the sum of both, cut by the logits of the image as it is.
        plain = next_logits(model, inputs, tokens)
        f = plain + alpha * next_logits(model, transformed, tokens)
        return f.masked_fill(plain < math.log(beta) + plain.max(), -math.inf)

    with eager(model):
        return greedy(model, logits, n_tokens)
