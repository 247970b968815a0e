"""Heads that look at the text more evenly than at the image, as ONLY finds them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def without_outliers(weights: Tensor, group: Tensor) -> Tensor:
    """Zero what exceeds a row's mean + std over a group of keys (modeling_llama.py:485-498).

    Args:
        weights: Attention weights [B, H, R, K].
        group: The keys, bool [B, 1, R, K]; others come back as they are.
    """
    count, own = group.sum(-1, keepdim=True), weights * group
    mean = own.sum(-1, keepdim=True) / count.clamp(min=1)
    square = ((own - mean) * group).square().sum(-1, keepdim=True)
    std = (square / (count - 1).clamp(min=1)).sqrt()
    return weights.masked_fill(group & (weights > mean + std), 0)


def entropy(weights: Tensor, group: Tensor) -> Tensor:
    """Give -sum p log(p + 1e-6) of a group's weights over their sum, [B, H, R]; nan if it is 0."""
    own = weights * group
    share = own / own.sum(-1, keepdim=True)
    return -(share * (share + 1e-6).log()).sum(-1)


def textual(weights: Tensor, text: Tensor, image: Tensor) -> Tensor:
    """Keep the heads whose text is spread out against the image, without outliers.

    Heads are removed whose entropy over text / entropy over image is below the mean of all heads
    (modeling_llama.py:499-518).

    Args:
        weights: Attention weights [B, H, R, K].
        text, image: Two groups of keys, bool [B, 1, R, K].
    """
    weights = without_outliers(without_outliers(weights, text), image)
    of_text = entropy(weights, text).nan_to_num(nan=0.0)
    of_image = entropy(weights, image).nan_to_num(nan=float("inf"))
    ratio = of_text / of_image
    removed = ratio < ratio.mean(1, keepdim=True)
    return weights.masked_fill(removed[..., None], 0)
