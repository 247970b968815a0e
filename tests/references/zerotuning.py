"""ZeroTuning as its paper writes it: weights after the softmax, scaled and renormalised."""

from __future__ import annotations

from torch import Tensor


def scale_first_token(attention: Tensor, first: Tensor, gamma: float) -> Tensor:
    """Give the first token gamma a_0 / D and others a_i / D, with D = (gamma - 1) a_0 + 1.

    Args:
        attention: Weights after the softmax [B, H, R, K].
        first: The first token among the keys, bool [B, K].
        gamma: Factor on the first token's weight before renormalising.
    """
    first = first[:, None, None].to(attention)
    held = (attention * first).sum(-1, keepdim=True)
    return attention * (1 + (gamma - 1) * first) / ((gamma - 1) * held + 1)
