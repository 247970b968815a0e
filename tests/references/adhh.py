"""AD-HH, adaptive deactivation of hallucination heads.

From the code, TianyunYoung/Hallucination-Attribution 841fc1b; the paper's body was not read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from tests.references.eager_rows import attention_edited, image_span
from tests.references.plain_loop import Inputs, eager, greedy, next_logits


def adhh(
    model: Any,
    inputs: Inputs,
    *,
    heads: Mapping[int, Sequence[int]],
    n_tokens: int = 12,
    threshold: float = 0.4,
    cuts: list[bool] | None = None,
) -> tuple[list[int], Tensor]:
    """Greedy tokens and logits.

    Args:
        model: A transformers model for image and text.
        inputs: One encoded prompt with its image.
        heads: By layer, both counted from 0.
        n_tokens: Tokens at most.
        threshold: The least sum of attention to text that is cut.
        cuts: Filled with whether a head was cut, for each head and row.
    """
    text, prompt = image_span(model, inputs).stop, inputs["input_ids"].shape[1]

    def deactivate(layer: int, weights: Tensor) -> None:
        for head in heads.get(layer, ()):
            # The last row of each cached pass: the prompt's last token and what follows it.
            for row in range(prompt - 1, weights.shape[1]):
                part = weights[head, row, text:]
                is_cut = bool(part.sum() >= threshold)
                if cuts is not None:
                    cuts.append(is_cut)
                if is_cut:
                    part.zero_()

    def logits(tokens: list[int]) -> Tensor:
        with attention_edited(model, after=deactivate):
            return next_logits(model, inputs, tokens)

    with eager(model):
        return greedy(model, logits, n_tokens)
