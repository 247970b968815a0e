"""PAI, Pay Attention to Image (arXiv 2407.21771; LALBJ/PAI 9bbd8bd)."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from tests.references.eager_rows import attention_edited, image_span
from tests.references.plain_loop import Inputs, eager, greedy, layers, next_logits


def pai(
    model: Any,
    inputs: Inputs,
    *,
    n_tokens: int = 12,
    alpha: float | None = None,
    gamma: float = 1.1,
    first_layer: int = 2,
    variant: Literal["paper", "official_code"] = "paper",
) -> tuple[list[int], Tensor]:
    """Greedy tokens and guided log-probabilities, or logits without guidance.

    Args:
        model: A transformers model for image and text.
        inputs: One encoded prompt with its image.
        n_tokens: Tokens at most.
        alpha: The boost; the variant's own where None.
        gamma: Guidance; 1 is none.
        first_layer: Layers from here on are boosted.
        variant: They differ by alpha and by the prompt's boost under guidance.
    """
    if alpha is None:
        alpha = {"paper": 0.5, "official_code": 0.2}[variant]
    depth, image = len(layers(model)), image_span(model, inputs)
    prompt = inputs["input_ids"].shape[1]
    # Under a cache each pass has one last row: the prompt's last token, then every token that was
    # generated. Under guidance the code's flag keeps the first of these passes as it is.
    silent = variant == "official_code" and gamma > 1
    boosted_from = prompt if silent else prompt - 1
    text = inputs["input_ids"][0] != model.config.image_token_id
    blind = {name: inputs[name][:, text] for name in ("input_ids", "attention_mask")}

    def boost(layer: int, scores: Tensor) -> None:
        if first_layer <= layer < depth:
            rows = scores[:, boosted_from:, image]
            rows += alpha * rows.abs()

    def logits(tokens: list[int]) -> Tensor:
        with attention_edited(model, before=boost):
            seen = next_logits(model, inputs, tokens)
        if gamma == 1:
            return seen
        f, u = (torch.log_softmax(x, -1) for x in (seen, next_logits(model, blind, tokens)))
        out = gamma * (f - u) + u
        return out.masked_fill(f < f.max() + math.log(0.1), -math.inf)

    with eager(model):
        return greedy(model, logits, n_tokens)
