"""Methods for tests of a model: two that change nothing, and one whose effect cannot be missed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from halluc.interventions import Method

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions import At


class NoSeam(Method):
    """Method that declares no seam: the engine must leave the model alone."""

    name = "no-seam"


class Identity(Method):
    """Method that declares many seams of the language model and changes nothing."""

    name = "identity"
    cross_attention = True

    def attention_bias(self, at: At) -> Tensor:
        """Return a bias of 0."""
        return torch.zeros(1, 1, 1, 1, device=at.rows.device)

    def attention_logits(self, at: At, logits: Tensor) -> Tensor:
        """Return the logits as they are."""
        return logits

    def attention_weights(self, at: At, weights: Tensor) -> Tensor:
        """Return the weights as they are."""
        return weights

    def head_gain(self, at: At, outputs: Tensor) -> Tensor:
        """Return a gain of 1."""
        return outputs.new_ones(1, 1)

    def hidden(self, at: At, hidden: Tensor) -> None:
        """Read the stream, and edit nothing."""


class LooksAway(Method):
    """Method that hides the image from the rows after it."""

    name = "looks-away"
    cross_attention = True

    def attention_logits(self, at: At, logits: Tensor) -> Tensor:
        """Mask the image's columns."""
        return logits.masked_fill(at.image_columns[:, None, None, :], -1e9)
