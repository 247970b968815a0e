"""Massive activations: tokens that are far larger in one dimension than in all others."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

MASSIVE = 0.6
"""A token is massive where |x_d| / rms(x) is this share of sqrt(D), the most there can be."""


def root_mean_square(hidden: Tensor) -> Tensor:
    """Return rms(x) of each token, [..., D] to [...], in float32."""
    return (hidden.float().pow(2).mean(-1) + 1e-6).sqrt()
