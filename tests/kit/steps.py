"""An onlooker of every step's next-token logits."""

from __future__ import annotations

from torch import Tensor
from transformers import LogitsProcessor


class Steps(LogitsProcessor):
    """Keeps what the next token is chosen from, [V] a step."""

    def __init__(self) -> None:
        self.rows: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self.rows.append(scores[0].float().clone())
        return scores
