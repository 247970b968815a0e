"""ONLY, one-layer intervention (arXiv 2507.00898; zifuwan/ONLY 109bffe)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from tests.references.plain_loop import (
    Inputs,
    decoder,
    eager,
    forward,
    greedy,
    image_positions,
    layers,
    output_kept,
)


def cut(row: Tensor) -> Tensor:
    """A row without what exceeds its mean by more than its standard deviation."""
    return torch.where(row > row.mean() + row.std(), 0.0, row)


def spread(row: Tensor) -> float:
    """The entropy of a row divided by its sum."""
    share = row / row.sum()
    return float(-(share * torch.log(share + 1e-6)).sum())


def only(
    model: Any,
    inputs: Inputs,
    *,
    n_tokens: int = 12,
    collaborate: float = 3.0,
    contrast: float = 1.0,
    gamma: float = 0.1,
    beta: float = 0.1,
    distances: list[float] | None = None,
) -> tuple[list[int], Tensor]:
    """Greedy tokens and logits of the two joined.

    Args:
        model: A transformers model for image and text, its layers as Llama's.
        inputs: One encoded prompt with one image.
        n_tokens: Tokens at most.
        collaborate: Factor on the other logits where the two distributions are near.
        contrast: Where they are not.
        gamma: The sum of absolute differences below which they are.
        beta: Of the cut-off; 0 cuts nothing off.
        distances: Filled with that sum at each step.
    """
    first, last = layers(model)[0], layers(model)[-1]
    image = image_positions(model, inputs).tolist()
    least = math.log(beta) if beta else -math.inf

    @torch.no_grad()
    def other(tokens: list[int]) -> tuple[Tensor, Tensor]:
        with output_kept(first.self_attn.v_proj) as kept:
            output = forward(
                model, inputs, tokens, output_attentions=True, output_hidden_states=True
            )
        weights = output.attentions[0][0, :, -1].float().clone()  # [H, K], the last row
        # text: all but the first token and the image; both parts lose their outliers
        text = [i for i in range(1, weights.shape[1]) if i not in image]
        ratios = []
        for head in weights:
            head[text], head[image] = cut(head[text]), cut(head[image])
            ratios.append(spread(head[text]) / spread(head[image]))
        # heads with a text-to-image entropy ratio below the mean say nothing
        for head, ratio in zip(weights, ratios, strict=True):
            if ratio < sum(ratios) / len(ratios):
                head.zero_()
        size = weights.shape[1]
        values = kept[0][0].view(size, -1, first.self_attn.head_dim)  # [K, Hk, d]
        values = values.repeat_interleave(len(weights) // values.shape[1], 1)
        o = first.self_attn.o_proj(torch.einsum("hk,khd->hd", weights, values).flatten())
        # in the last layer, by whose own norms: 0.2 times what enters it, then its network
        x = last.input_layernorm(o) + 0.2 * output.hidden_states[-2][0, -1]
        x = x + last.mlp(last.post_attention_layernorm(x)[None, None])[0, 0]
        # before the head: half of the model's own normed state
        joined = decoder(model).norm(x) + 0.5 * output.hidden_states[-1][0, -1]
        return output.logits[0, -1].float(), model.lm_head(joined).float()

    def logits(tokens: list[int]) -> Tensor:
        own, textual = other(tokens)
        distance = float((own.softmax(-1) - textual.softmax(-1)).abs().sum())
        if distances is not None:
            distances.append(distance)
        if distance < gamma:
            found = own + collaborate * textual
        else:
            found = (1 + contrast) * own - contrast * textual
        return found.masked_fill(own < least + own.max(), -math.inf)

    with eager(model):
        return greedy(model, logits, n_tokens)
