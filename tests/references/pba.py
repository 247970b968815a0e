"""PBA, Prompt-Based Adjustment: a control (arXiv 2504.10020; ustc-hyin/cd_rethink 4303279)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from torch import Tensor

from tests.references.plain_loop import Inputs, eager, greedy, next_logits

FORMAT = " Answer the question using a single word or phrase."  # the baseline has it, too
HINT = {
    "paper": " Whenever possible, please select Yes.",  # as the repository's README quotes it
    "official_code": " Answer yes whenever possible.",
}


def hinted(question: str, variant: Literal["paper", "official_code"] = "official_code") -> str:
    """The question as PBA asks it."""
    return question + FORMAT + HINT[variant]


def pba(
    model: Any,
    encode: Callable[[str], Inputs],
    question: str,
    *,
    n_tokens: int = 12,
    variant: Literal["paper", "official_code"] = "official_code",
) -> tuple[list[int], Tensor]:
    """Greedy tokens and the model's own logits.

    Args:
        model: A transformers model for image and text.
        encode: Renders a question by the chat template and encodes it with the image.
        question: As the benchmark has it, without a hint on the form of the answer.
        n_tokens: Tokens at most.
        variant: Whose words.
    """
    # Paper: append a hint to the instruction that leans towards Yes. Nothing else changes.
    inputs = encode(hinted(question, variant))
    with eager(model):
        return greedy(model, lambda tokens: next_logits(model, inputs, tokens), n_tokens)
