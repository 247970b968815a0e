"""VAF, Visual Amplification Fusion (arXiv 2503.13107; ustc-hyin/ClearSight 5466c94)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from tests.references.eager_rows import attention_edited, image_span
from tests.references.plain_loop import Inputs, eager, greedy, layers, next_logits


def vaf(
    model: Any,
    inputs: Inputs,
    *,
    n_tokens: int = 12,
    enhance: float = 1.15,
    suppress: float = 0.95,
    between: tuple[int, int] | None = None,
) -> tuple[list[int], Tensor]:
    """Greedy tokens and logits.

    Args:
        model: A transformers model for image and text.
        inputs: One encoded prompt with its image.
        n_tokens: Tokens at most.
        enhance: Factor on logits of the image; 1 is none.
        suppress: Factor on logits of what stands before the image.
        between: Layers strictly between these two; the code's 8 and 15 of 32 by depth where None.
    """
    depth, image = len(layers(model)), image_span(model, inputs)
    if between is None:
        low, high = 9 * depth // 32, 15 * depth // 32
        between = (low - 1, max(high, low + 1))

    def scale(layer: int, scores: Tensor) -> None:
        # Code: rows behind the image; of cached passes all rows, which are behind it, too.
        if between[0] < layer < between[1]:
            scores[:, image.stop :, image] *= enhance
            scores[:, image.stop :, : image.start] *= suppress

    def logits(tokens: list[int]) -> Tensor:
        with attention_edited(model, before=scale):
            return next_logits(model, inputs, tokens)

    with eager(model):
        return greedy(model, logits, n_tokens)
