"""Record of whether a method edits anything at all; a run in which it does not says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_BATCHES = 4
_EDITED = {"attention_logits": 1, "attention_weights": 1, "hidden": 1, "feed_forward": 2}
"""Seams that return one of their arguments, edited, and the position of that argument."""


@dataclass
class Touch:
    """Record of whether a method changed a number in the first batches of a run.

    Comparing costs time, so it ends with the first difference, or after a few batches.

    Attributes:
        seen: True once something was changed.
        batches: Batches compared so far.
    """

    seen: bool = False
    batches: int = 0

    @property
    def watching(self) -> bool:
        """True while batches are still compared."""
        return not self.seen and self.batches < _BATCHES

    def note(self, seam: str, args: tuple[Any, ...], result: Any) -> None:
        """Compare a seam's argument with its result."""
        if seam in _EDITED:
            before = args[_EDITED[seam]]
            self.seen |= result is not None and not _equal(before, result)
        elif seam == "attention_bias":
            self.seen |= bool((result != 0).any())
        elif seam == "head_gain":
            self.seen |= bool((result != 1).any())
        elif seam == "next_token_logits":
            at, streams = args
            forbidden = at.forbidden.tokens
            forbids = forbidden is not None and bool(forbidden.any())
            self.seen |= forbids or not _equal(streams["main"], result)
        elif seam == "weights":
            self.seen |= bool(result)

    @property
    def nothing(self) -> bool:
        """True if batches were compared and nothing in them was changed."""
        return self.batches > 0 and not self.seen


def _equal(before: Tensor, after: Tensor) -> bool:
    return before.shape == after.shape and bool(torch.equal(before, after.to(before.dtype)))
