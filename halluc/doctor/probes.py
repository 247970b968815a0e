"""Methods that are there to be looked for: one that changes nothing, one that nobody can miss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from halluc.interventions import Method

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions import Site


class NoSeam(Method):
    """Declares nothing: the engine must leave the model alone."""

    name = "no-seam"


class Identity(Method):
    """Declares every seam of the language model and changes nothing."""

    name = "identity"
    cross_attention = True

    def bias(self, site: Site) -> Tensor:
        """No bias."""
        return torch.zeros(1, 1, 1, 1, device=site.rows.device)

    def scores(self, site: Site, scores: Tensor) -> Tensor:
        """The logits as they are."""
        return scores

    def weights(self, site: Site, attention: Tensor) -> Tensor:
        """The weights as they are."""
        return attention

    def heads(self, site: Site, outputs: Tensor) -> Tensor:
        """A gain of 1."""
        return outputs.new_ones(1, 1)

    def observe(self, site: Site, hidden: Tensor) -> None:
        """Look at nothing."""


class LooksAway(Method):
    """Takes the image out of sight for the rows after it."""

    name = "looks-away"
    cross_attention = True

    def scores(self, site: Site, scores: Tensor) -> Tensor:
        """Mask the image's columns."""
        return scores.masked_fill(site.image_columns[:, None, None, :], -1e9)
