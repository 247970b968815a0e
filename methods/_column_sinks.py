"""Attention sinks as ACT finds them: tokens that others attend to, but for the first."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def column_means(attention: Tensor, real: Tensor, visible: Tensor) -> Tensor:
    """Mean attention a token receives from the tokens that see it.

    Args:
        attention: Weights of a whole prompt after the softmax [B, H, L, L].
        real: Tokens that are not padding, bool [B, L]; others neither give nor receive.
        visible: Tokens each token may attend to, bool [B or 1, L, L].

    Returns:
        [B, H, L]; sum_i A_ij / (n - j) under a causal mask, with n real tokens and j counted among
        them. Models whose image tokens see each other count those, too.
    """
    seen_by = (visible & real[:, :, None]).sum(1).clamp(min=1)
    given = (real[:, None, None].to(attention) @ attention)[:, :, 0]
    means: Tensor = given * real[:, None] / seen_by[:, None]
    return means


def later_sinks(means: Tensor, threshold: Tensor | float) -> Tensor:
    """Tokens whose column mean exceeds the threshold, less the first of each head.

    Args:
        means: From `column_means` [B, H, L].
        threshold: Broadcastable to it.

    Returns:
        bool [B, H, L].
    """
    above = means > threshold
    found: Tensor = above & (above.cumsum(-1) > 1)
    return found


def rescale_sinks(attention: Tensor, sinks: Tensor, beta: float) -> Tensor:
    """Scale sinks by beta and spread the difference over the row's other tokens.

    Args:
        attention: Weights after the softmax [B, H, R, K].
        sinks: bool [B, H, K].
        beta: Share of its attention a sink keeps.

    Returns:
        [B, H, R, K]; each row keeps its sum. Rows that see nothing but sinks come back unchanged.
    """
    kinds = sinks.to(attention)[..., None]  # [B, H, K, 1]: matrix products spare whole copies
    held, free = attention @ kinds, attention @ (1 - kinds)
    gain = (1 + (1 - beta) * held / free.clamp(min=1e-12)).where(free > 0, 1)
    kept = kinds.new_tensor(beta).where(free > 0, 1)
    return kept.where(sinks[:, :, None], gain).mul_(attention)
