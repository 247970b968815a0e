"""AvisC, Attentional Vision Calibration (arXiv 2405.17820; sangminwoo/AvisC 772eba4).

From the code; of the paper only the abstract was read.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from tests.references.plain_loop import (
    Inputs,
    eager,
    forward,
    greedy,
    image_positions,
    input_edited,
    layers,
    next_logits,
)


def non_blind(attentions: list[Tensor], image: Tensor, gamma: float, lamb: float) -> Tensor:
    """The image tokens that are set to zero.

    Args:
        attentions: Of each layer, [H, Q, K].
        image: Where the image tokens stand, [N].
        gamma: Share of attention to the image that the layers read have together.
        lamb: Standard deviations above the mean.
    """
    rows = torch.stack([one.mean(0)[-1, image] for one in attentions])
    shares = rows.sum(1) / rows.sum()
    # Code: (cumsum(sorted) < gamma).sum() + 1 layers.
    count = int((shares.sort(descending=True).values.cumsum(0) < gamma).sum()) + 1
    read = rows[shares.topk(count).indices].mean(0)
    return image[read < read.mean() + lamb * read.std()]


def avisc(
    model: Any,
    inputs: Inputs,
    *,
    n_tokens: int = 12,
    alpha: float = 1.0,
    beta: float = 0.1,
    gamma: float = 0.5,
    lamb: float = 1.0,
) -> tuple[list[int], Tensor]:
    """Greedy tokens and contrasted logits.

    Args:
        model: A transformers model for image and text.
        inputs: One encoded prompt with its image.
        n_tokens: Tokens at most.
        alpha: Strength of the contrast.
        beta: Of the cut-off.
        gamma: Share of the layers read.
        lamb: Threshold of blind tokens.
    """
    image, first = image_positions(model, inputs), layers(model)[0]

    def zeroed(hidden: Tensor) -> Tensor:
        edited = hidden.clone()
        edited[0, zero] = 0
        return edited

    def logits(tokens: list[int]) -> Tensor:
        whole = next_logits(model, inputs, tokens)
        with input_edited(first, zeroed):
            blind = next_logits(model, inputs, tokens)
        contrasted = (1 + alpha) * whole - alpha * blind
        return contrasted.masked_fill(whole < whole.max() + math.log(beta), -math.inf)

    with eager(model):
        # The prompt's own attention, before anything is generated.
        seen = forward(model, inputs, [], output_attentions=True).attentions
        zero = non_blind([one[0] for one in seen], image, gamma, lamb)
        return greedy(model, logits, n_tokens)
