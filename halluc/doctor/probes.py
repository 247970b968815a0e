"""Methods that are there to be looked for: one that changes nothing, one that nobody can miss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from halluc.interventions import Method

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions import At


class NoSeam(Method):
    """Declares nothing: the engine must leave the model alone."""

    name = "no-seam"


class Identity(Method):
    """Declares every seam of the language model and changes nothing."""

    name = "identity"
    cross_attention = True

    def attention_bias(self, at: At) -> Tensor:
        """No bias."""
        return torch.zeros(1, 1, 1, 1, device=at.rows.device)

    def attention_logits(self, at: At, logits: Tensor) -> Tensor:
        """The logits as they are."""
        return logits

    def attention_weights(self, at: At, weights: Tensor) -> Tensor:
        """The weights as they are."""
        return weights

    def head_gain(self, at: At, outputs: Tensor) -> Tensor:
        """A gain of 1."""
        return outputs.new_ones(1, 1)

    def hidden(self, at: At, hidden: Tensor) -> None:
        """Look, and edit nothing."""


class LooksAway(Method):
    """Takes the image out of sight for the rows after it."""

    name = "looks-away"
    cross_attention = True

    def attention_logits(self, at: At, logits: Tensor) -> Tensor:
        """Mask the image's columns."""
        return logits.masked_fill(at.image_columns[:, None, None, :], -1e9)
