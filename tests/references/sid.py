"""SID, Self-Introspective Decoding (arXiv 2408.02032; huofushuo/SID 127dd41).

From the code; of the paper only the abstract was read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import torch
from torch import Tensor

from tests.references.plain_loop import (
    Inputs,
    eager,
    greedy,
    image_positions,
    layers,
    next_logits,
)


def hidden_tokens(weights: Tensor, image: Tensor, share: float) -> Tensor:
    """The image tokens that are not among the least attended.

    Args:
        weights: One row of a layer's attention, [H, K].
        image: Where the image tokens stand, [N].
        share: Of them that stay; at least one does.
    """
    # Code: topk(100, largest=False) of the mean over heads of the last row.
    kept = max(1, round(share * len(image)))
    order = weights.mean(0)[image].sort(stable=True).indices
    return image[order[kept:]]


@contextmanager
def least_attended(
    model: Any, image: Tensor, n_prompt: int, first: int, share: float
) -> Iterator[None]:
    """Let layers from `first` on see the least attended image tokens alone."""
    blocks = layers(model)
    seen: list[Tensor] = []

    def look(_: Any, args: Any, output: Any) -> None:
        seen.append(output[1][0])  # [H, Q, Q]

    def hide(_: Any, args: Any, kwargs: Any) -> Any:
        weights, mask = seen[-1], kwargs["attention_mask"].clone()
        lowest = torch.finfo(mask.dtype).min
        for row in range(mask.shape[2]):
            # With a cache, a row keeps what it read under its own pass's choice: the prompt's rows
            # are one pass, whose last row chooses, and each new token is one.
            chooser = max(row, n_prompt - 1)
            hidden = mask[0, 0, row].clone()
            hidden[hidden_tokens(weights[:, chooser], image, share)] = lowest
            if bool((hidden > lowest / 2).any()):  # else there is nothing to see but these
                mask[0, 0, row] = hidden
        return args, kwargs | {"attention_mask": mask}

    with ExitStack() as stack:
        stack.callback(blocks[first - 1].self_attn.register_forward_hook(look).remove)
        for block in blocks[first:]:
            handle = block.self_attn.register_forward_pre_hook(hide, with_kwargs=True)
            stack.callback(handle.remove)
        yield


def sid(
    model: Any,
    inputs: Inputs,
    *,
    n_tokens: int = 12,
    alpha: float = 1.0,
    beta: float = 0.1,
    share: float = 100 / 576,
    layer: int | None = None,
    variant: Literal["paper", "official_code"] = "paper",
) -> tuple[list[int], Tensor]:
    """Greedy tokens and contrasted logits.

    Args:
        model: A transformers model for image and text.
        inputs: One encoded prompt with its image.
        n_tokens: Tokens at most.
        alpha: Strength of the contrast.
        beta: Of the cut-off.
        share: Of the image tokens that the other view sees.
        layer: The first that sees these alone; the second of 32, or as far in, where None.
        variant: The code's greedy search has no cut-off.
    """
    image, n_prompt = image_positions(model, inputs), inputs["input_ids"].shape[1]
    first = layer or max(1, round(2 * len(layers(model)) / 32))

    def logits(tokens: list[int]) -> Tensor:
        whole = next_logits(model, inputs, tokens)
        with least_attended(model, image, n_prompt, first, share):
            least = next_logits(model, inputs, tokens)
        contrasted = (1 + alpha) * whole - alpha * least
        if variant == "official_code":
            return contrasted
        return contrasted.masked_fill(whole < whole.max() + math.log(beta), -math.inf)

    with eager(model):
        return greedy(model, logits, n_tokens)
