"""Watch on next-token logits: an answer whose logits are not finite is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import LogitsProcessor

if TYPE_CHECKING:
    from halluc.interventions.engine import Engine


class Peaks(LogitsProcessor):
    """Onlooker that keeps the highest logit of every row; it may stand in a chain several times.

    The highest logit alone tells that a row is not finite: it is NaN where any is, infinite where
    any is, and minus infinity where every token is ruled out; tokens ruled out beside others leave
    it as it is. It stays on the model's device until `broken` reads all of them at once.

    Args:
        engine: Tells which rows belong to the main stream and, of a search, which have ended.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._searches = "search" in engine.seams
        self._prompt = 0
        self._steps: list[int] = []
        self._peaks: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Keep the peaks of the main stream, the first rows of scores [S * B, V]."""
        if not self._steps:
            self._prompt = input_ids.shape[1]
        streams = len(self._engine.memory.streams)
        main = scores if streams == 1 else scores[: len(scores) // streams]
        peaks = main.amax(-1)
        if self._searches:  # rows come and go; all are of one sample
            peaks = torch.where(self._engine.running[: len(main)], peaks, 0.0)
            peaks = (peaks - peaks).sum(0, keepdim=True)
        self._steps.append(input_ids.shape[1] - self._prompt)
        self._peaks.append(peaks)
        return scores

    def broken(self) -> dict[int, int]:
        """Return the first token whose logits are not finite, counted from 0.

        Returns:
            By sample, over all its beams; without those whose logits are all finite.
        """
        if not self._peaks:
            return {}
        bad = ~torch.stack(self._peaks).isfinite()
        by_sample = bad.view(len(bad), self._engine.memory.batch.size, -1).any(2)
        found: dict[int, int] = {}
        for call, row in by_sample.nonzero().tolist():
            found.setdefault(row, self._steps[call])
        return found
