"""CODE, Countering Description Contrastive Decoding (arXiv 2406.01920; IVY-LVLM/CODE 31adf82)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tests.references.plain_loop import Inputs, eager, greedy, next_logits

PROMPT = (
    "Provide a detailed description of the image, covering all visible elements and their "
    "interactions, so as to thoroughly answer any potential questions about the image."
)


def code(
    model: Any,
    inputs: Inputs,
    *,
    describing: Inputs,
    without_image: Callable[[list[int]], Inputs],
    n_tokens: int = 12,
    n_described: int = 128,
    power: float = 0.7,
    alpha: float = 1.0,
    beta: float = 1.0,
) -> tuple[list[int], Tensor]:
    """Greedy tokens and contrasted logits.

    Args:
        model: A transformers model for image and text.
        inputs: One encoded prompt with its image.
        describing: The prompt that asks for a description, with the image.
        without_image: Encodes the prompt with these tokens of a description in the image's place.
        n_tokens: Tokens at most.
        n_described: Tokens of the description at most.
        power: Of the differences of probabilities.
        alpha: Factor on the strength; 0 with `beta` 0 is the model itself.
        beta: Factor on the cut-off.
    """

    def logits(tokens: list[int]) -> Tensor:
        l_v, l_d = next_logits(model, inputs, tokens), next_logits(model, other, tokens)
        p_v, p_d = torch.softmax(l_v, -1), torch.softmax(l_d, -1)
        # Code: the bounded divergence of both, here token by token.
        apart = 0.0
        for a, b in zip(p_v.tolist(), p_d.tolist(), strict=True):
            apart += math.log2(abs(a - b) ** power + 1) * (a + b) / 2
        # Code: as strong as both agree, and a cut as high as they disagree.
        strength = alpha * (1 - apart)
        f = (1 + strength) * l_v - strength * l_d
        return f.masked_fill(p_v < beta * apart * p_v.max(), -math.inf)

    with eager(model):
        said, _ = greedy(model, lambda tokens: next_logits(model, describing, tokens), n_described)
        other = without_image(said)
        return greedy(model, logits, n_tokens)
