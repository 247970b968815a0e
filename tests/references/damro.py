"""DAMRO (arXiv 2410.04514; coder-gx/DAMRO 03008ac), of models whose image tokens are patches.

From the code; of the paper only the abstract was read. The code drops the other tokens, ours hides
them where they stand.
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
    image_features,
    image_positions,
    layers,
    next_logits,
)


def cls_attention(model: Any, inputs: Inputs, variant: str) -> Tensor:
    """What the CLS token attends to, in the layer whose features are read, [P]."""
    tower = model.model.vision_tower
    blocks = getattr(tower, "vision_model", tower).encoder.layers
    attention = blocks[model.config.vision_feature_layer].self_attn
    found: dict[str, Tensor] = {}
    with ExitStack() as stack:
        for name in ("q_proj", "k_proj"):

            def keep(_: Any, args: Any, output: Tensor, name: str = name) -> None:
                found[name] = output

            handle = getattr(attention, name).register_forward_hook(keep)
            stack.callback(handle.remove)
        image_features(model, inputs)
    query, key = found["q_proj"][0, 0], found["k_proj"][0]
    width = query.shape[-1]
    if variant == "official_code":
        # Code: softmax(q k^T * C^-0.5) of the projections as they are, C the full width.
        whole: Tensor = (key @ query * width**-0.5).softmax(-1)
        return whole[1:]
    heads = attention.num_heads
    size = width // heads
    logits = torch.einsum("hd,thd->ht", query.view(heads, size), key.view(-1, heads, size))
    mean: Tensor = (logits * size**-0.5).softmax(-1).mean(0)
    return mean[1:]


@contextmanager
def hidden(model: Any, columns: Tensor) -> Iterator[None]:
    """Let no row of any layer attend to some columns; those before the first keep their own."""

    def hide(_: Any, args: Any, kwargs: Any) -> Any:
        mask = kwargs["attention_mask"].clone()
        mask[..., columns] = torch.finfo(mask.dtype).min
        return args, kwargs | {"attention_mask": mask}

    with ExitStack() as stack:
        for block in layers(model):
            handle = block.self_attn.register_forward_pre_hook(hide, with_kwargs=True)
            stack.callback(handle.remove)
        yield


def damro(
    model: Any,
    inputs: Inputs,
    *,
    n_tokens: int = 12,
    alpha: float = 2.0,
    beta: float = 0.1,
    share: float = 10 / 576,
    variant: Literal["paper", "official_code"] = "paper",
) -> tuple[list[int], Tensor]:
    """Greedy tokens and contrasted logits.

    Args:
        model: A LLaVA of transformers; its prompts start with text.
        inputs: One encoded prompt with one image, which is not cut into tiles.
        n_tokens: Tokens at most.
        alpha: Strength of the contrast.
        beta: Of the cut-off.
        share: Of the image tokens that the other view sees.
        variant: The code takes the tower's heads together.
    """
    image = image_positions(model, inputs)
    order = cls_attention(model, inputs, variant).sort(descending=True, stable=True).indices
    others = image[order[max(1, round(share * len(image))) :]]

    def logits(tokens: list[int]) -> Tensor:
        whole = next_logits(model, inputs, tokens)
        with hidden(model, others):
            outliers = next_logits(model, inputs, tokens)
        contrasted = (1 + alpha) * whole - alpha * outliers
        return contrasted.masked_fill(whole < whole.max() + math.log(beta), -math.inf)

    with eager(model):
        return greedy(model, logits, n_tokens)
