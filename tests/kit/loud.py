"""Methods that boost the image so much that nobody can miss it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from halluc.interventions import At, Method

if TYPE_CHECKING:
    from torch import Tensor


class LoudBias(Method):
    """Boosts the image by a bias on every row."""

    name = "loud-bias"

    def attention_bias(self, at: At) -> Tensor:
        return 3.0 * at.image_columns[:, None, None, :].float()


class LoudLogits(Method):
    """The same through the other seam, in the rows behind the image."""

    name = "loud-logits"

    def attention_logits(self, at: At, logits: Tensor) -> Tensor:
        return logits + 3.0 * at.image_columns[:, None, None, :]


class LoudEverywhere(LoudLogits):
    """The same on all rows, before the image too."""

    name = "loud-everywhere"
    rows = "all"
