"""APC, the Adaptive Plausibility Constraint alone: a control (arXiv 2504.10020; cd_rethink)."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from tests.references.plain_loop import Inputs, eager, greedy, next_logits


def apc(
    model: Any, inputs: Inputs, *, n_tokens: int = 12, beta: float = 0.2
) -> tuple[list[int], Tensor]:
    """Greedy tokens, which APC never changes, and the logits that one would sample from.

    The code gets them as (1 + alpha) l - alpha l of two passes over the same inputs.

    Args:
        model: A transformers model for image and text.
        inputs: One encoded prompt with its image.
        n_tokens: Tokens at most.
        beta: Of the cut-off, above 0; 1 keeps the best only.
    """

    def logits(tokens: list[int]) -> Tensor:
        found = next_logits(model, inputs, tokens)
        # Paper: sample from V_head = {y: p(y) >= beta max p} only. It is set on the logits as
        # they come from the model: temperature, top-k and top-p follow.
        return found.masked_fill(found < math.log(beta) + found.max(), -math.inf)

    with eager(model):
        return greedy(model, logits, n_tokens)
