"""HGAI, Heads Guided Attention Intervention (arXiv 2411.16724; the code's commit a0622a9)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from tests.references.eager_rows import attention_edited, image_span
from tests.references.plain_loop import Inputs, eager, greedy, layers, next_logits


def hgai(
    model: Any,
    inputs: Inputs,
    *,
    n_tokens: int = 12,
    alpha: float = 0.5,
    first_layer: int | None = None,
    last_layer: int | None = None,
) -> tuple[list[int], Tensor]:
    """Greedy tokens and logits.

    Args:
        model: A transformers model for image and text.
        inputs: One encoded prompt with its image.
        n_tokens: Tokens at most.
        alpha: The boost; 0 is none.
        first_layer, last_layer: The code's runs took 5 and 18 of 32; by depth where None.
    """
    depth, image = len(layers(model)), image_span(model, inputs)
    first = 5 * depth // 32 if first_layer is None else first_layer
    last = 19 * depth // 32 - 1 if last_layer is None else last_layer
    prompt = inputs["input_ids"].shape[1]

    def guide(layer: int, scores: Tensor) -> None:
        if first <= layer <= last:
            # The last row of each cached pass: the prompt's last token and what follows it.
            rows = scores[:, prompt - 1 :, image]
            rows += alpha * rows.abs().mean(dim=0, keepdim=True)

    def logits(tokens: list[int]) -> Tensor:
        with attention_edited(model, before=guide):
            return next_logits(model, inputs, tokens)

    with eager(model):
        return greedy(model, logits, n_tokens)
