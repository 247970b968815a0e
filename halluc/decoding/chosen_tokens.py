"""The tokens of answers with their log-probabilities, for who asks a model a few prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from transformers import LogitsProcessor

if TYPE_CHECKING:
    from halluc.types import Sample


class Written(NamedTuple):
    """Tokens of an answer, the end token included where it was chosen.

    Attributes:
        tokens: Ids [T].
        log_probabilities: Of each when it was chosen [T], after the method made its logits and
            before tokens are ruled out and temperature and the like act on them; None under beams
            and where a method searches.
    """

    tokens: list[int]
    log_probabilities: list[float] | None


@dataclass
class ChosenTokens:
    """Collects what is written.

    Attributes:
        found: By the sample's id; samples that repeat another are not in it.
    """

    found: dict[str, Written] = field(default_factory=dict)

    def take(
        self,
        samples: Sequence[Sample],
        tokens: Tensor,
        lengths: Sequence[int],
        onlooker: TokenLogProbabilities | None,
    ) -> None:
        """Take up the answers to a batch.

        Args:
            tokens: Generated ids [B, T], padded behind.
            lengths: Of each answer [B].
            onlooker: Who has seen the logits; None where they are not of one answer a row.
        """
        said = onlooker.of(tokens).tolist() if onlooker is not None else None
        for row, (sample, length) in enumerate(zip(samples, lengths, strict=True)):
            log_p = None if said is None else said[row][:length]
            self.found[sample.id] = Written(tokens[row, :length].tolist(), log_p)


class TokenLogProbabilities(LogitsProcessor):
    """Onlooker that keeps the log-probability of each token that is chosen."""

    def __init__(self) -> None:
        self._steps: list[Tensor] = []
        self._last: Tensor | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Read the scores [rows, V]; return them unchanged."""
        if self._last is not None:
            self._steps.append(self._last.gather(1, input_ids[:, -1:]))
        self._last = scores.float().log_softmax(-1)
        return scores

    def of(self, tokens: Tensor) -> Tensor:
        """Return the log-probabilities of the tokens that were chosen, [B, T] both."""
        if self._last is None:
            return torch.zeros(tokens.shape)
        size = len(tokens)  # further streams stand below, and choose alike
        last = self._last[:size].gather(1, tokens[:, -1:])
        return torch.cat([*(step[:size] for step in self._steps), last], 1)
