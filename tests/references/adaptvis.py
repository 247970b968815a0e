"""AdaptVis and ScalingVis (arXiv 2503.01773; shiqichen17/AdaptVis 3b41399)."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from torch import Tensor

from tests.references.eager_rows import attention_edited, image_span
from tests.references.plain_loop import Inputs, eager, greedy, next_logits


def adaptvis(
    model: Any,
    inputs: Inputs,
    *,
    n_tokens: int = 12,
    smooth: float = 0.5,
    sharpen: float = 1.5,
    threshold: float = 0.4,
    weight: float | None = None,
    variant: Literal["paper", "official_code"] = "paper",
    chosen: list[float] | None = None,
) -> tuple[list[int], Tensor]:
    """Greedy tokens and logits.

    Args:
        model: A transformers model for image and text.
        inputs: One encoded prompt with its image.
        n_tokens: Tokens at most.
        smooth: Factor where the model is unsure.
        sharpen: Factor where it is not.
        threshold: The confidence from which on it is sure.
        weight: A fixed factor, ScalingVis.
        variant: "official_code" rounds the confidence.
        chosen: Filled with the factor.
    """
    image, last = image_span(model, inputs), inputs["input_ids"].shape[1] - 1

    def logits(tokens: list[int]) -> Tensor:
        def scale(_: int, scores: Tensor) -> None:
            # Only the pass that reads the prompt has as many rows as keys.
            scores[:, last, image] *= factor

        with attention_edited(model, before=scale):
            return next_logits(model, inputs, tokens)

    with eager(model):
        if weight is not None:
            factor = weight
        else:
            sure = float(next_logits(model, inputs, []).softmax(-1).max())
            if variant == "official_code":
                sure = float(np.round(sure, 2))
            factor = smooth if sure < threshold else sharpen
        if chosen is not None:
            chosen.append(factor)
        return greedy(model, logits, n_tokens)
