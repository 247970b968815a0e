"""Find out whether a method edits anything at all: a run in which it does not should say so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_BATCHES = 4
_INPUT = {  # seams that hand back what they were given, edited: which argument that is
    "attention_logits": 1, "attention_weights": 1, "hidden": 1, "feed_forward": 2,
}  # fmt: skip


@dataclass
class Touch:
    """Whether a method changed a number in the first batches of a run.

    Comparing costs time, so it ends with the first difference, or after a few batches.

    Attributes:
        seen: Whether something was changed.
        batches: Batches looked at so far.
    """

    seen: bool = False
    batches: int = 0

    @property
    def watching(self) -> bool:
        """Whether to go on comparing."""
        return not self.seen and self.batches < _BATCHES

    def note(self, seam: str, args: tuple[Any, ...], result: Any) -> None:
        """Compare what a seam was given with what it gave back."""
        if seam in _INPUT:
            before = args[_INPUT[seam]]
            self.seen |= result is not None and not _equal(before, result)
        elif seam == "attention_bias":
            self.seen |= bool((result != 0).any())
        elif seam == "head_gain":
            self.seen |= bool((result != 1).any())
        elif seam == "next_token_logits":
            at, streams = args
            forbids = any(bool(mask.any()) for mask in at.forbidden)
            self.seen |= forbids or not _equal(streams["main"], result)
        elif seam == "weights":
            self.seen |= bool(result)

    @property
    def nothing(self) -> bool:
        """Whether the batches looked at were left as they are."""
        return self.batches > 0 and not self.seen


def _equal(before: Tensor, after: Tensor) -> bool:
    return before.shape == after.shape and bool(torch.equal(before, after.to(before.dtype)))
