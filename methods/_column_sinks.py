"""Attention sinks as ACT finds them: tokens that get much attention, other than the first."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def column_means(attention: Tensor, real: Tensor, visible: Tensor) -> Tensor:
    """Average the attention a token receives over the tokens that see it.

    Args:
        attention: Weights of a whole prompt after the softmax [B, H, L, L].
        real: Tokens that are not padding, bool [B, L]; others neither give nor receive.
        visible: Tokens each token may attend to, bool [B or 1, L, L].

    Returns:
        [B, H, L]; sum_i A_ij / (n - j) under a causal mask, with n real tokens and j counted among
        them. Models whose image tokens see each other count those, too.
    """
    seen_by = (visible & real[:, :, None]).sum(1).clamp(min=1)
    received = (real[:, None, None].to(attention) @ attention)[:, :, 0]
    means: Tensor = received * real[:, None] / seen_by[:, None]
    return means


def later_sinks(means: Tensor, threshold: Tensor | float) -> Tensor:
    """Mark tokens whose column mean exceeds the threshold, except the first of each head.

    Args:
        means: From `column_means` [B, H, L].
        threshold: Broadcastable to it.

    Returns:
        bool [B, H, L].
    """
    above = means > threshold
    later: Tensor = above & (above.cumsum(-1) > 1)
    return later


def rescale_sinks(attention: Tensor, sinks: Tensor, beta: float) -> Tensor:
    """Scale sinks by beta and spread the difference over the row's other tokens.

    Args:
        attention: Weights after the softmax [B, H, R, K].
        sinks: bool [B, H, K].
        beta: Share of its attention a sink keeps.

    Returns:
        [B, H, R, K]; each row keeps its sum. Rows that see nothing but sinks come back unchanged.
    """
    # The paper's lines, for one row a of a head with sinks S:
    #   a'_s = beta a_s                                                  for s in S
    #   a'_t = a_t + (1 - beta) sum_S a_s * a_t / sum_{not in S} a_u     for other tokens t
    # So a' = factor * a, where the factor needs two sums a row: over S and over the others. Matrix
    # products with indicator columns [B, H, K, 1] give them without a masked copy of `attention`.
    indicator = sinks.to(attention)[..., None]
    held, free = attention @ indicator, attention @ (1 - indicator)
    gain = (1 + (1 - beta) * held / free.clamp(min=1e-12)).where(free > 0, 1)
    kept = indicator.new_tensor(beta).where(free > 0, 1)
    return kept.where(sinks[:, :, None], gain).mul_(attention)
