"""OLM, Output Layer Modification: a control (arXiv 2504.10020; ustc-hyin/cd_rethink 4303279)."""

from __future__ import annotations

import math
from typing import Any, Literal

from torch import Tensor

from tests.references.plain_loop import Inputs, eager, greedy, next_logits


def olm(
    model: Any,
    inputs: Inputs,
    *,
    yes: int,
    no: int,
    n_tokens: int = 12,
    mass: float = 0.2,
    gap: float = 0.5,
    variant: Literal["paper", "official_code"] = "paper",
) -> tuple[list[int], Tensor]:
    """Greedy tokens and logits; where Yes is forced, nothing else is left in the logits.

    Args:
        model: A transformers model for image and text.
        inputs: One encoded prompt with its image.
        yes: The token of Yes at the start of an answer (3869 in LLaVA-1.5).
        no: The token of No there (1939).
        n_tokens: Tokens at most.
        mass: What both together must exceed; 1 forces nothing.
        gap: What they must differ by less than; 0 forces nothing.
        variant: "paper" looks at the first token only, "official_code" at every one.
    """

    def logits(tokens: list[int]) -> Tensor:
        found = next_logits(model, inputs, tokens)
        if variant == "paper" and tokens:
            return found
        # Paper: favour Yes where the probabilities of Yes and No are similar. The code takes
        # them of the whole vocabulary, and both comparisons are strict.
        chance = found.softmax(-1)
        similar = chance[yes] + chance[no] > mass and (chance[yes] - chance[no]).abs() < gap
        if not similar:
            return found
        # The code then answers Yes even where a third token is likelier than both.
        forced = found.clone().fill_(-math.inf)
        forced[yes] = found[yes]
        return forced

    with eager(model):
        return greedy(model, logits, n_tokens)
