"""Image tokens that the vision tower attends to, and a boost of attention to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def summary_tokens(attention: Tensor) -> Tensor:
    """Mark patches whose CLS attention lies above Q3 + 1.5 IQR.

    Args:
        attention: Summed over heads [B, N].

    Returns:
        bool [B, N].
    """
    ordered = attention.float()
    low, high = ordered.quantile(0.25, dim=-1), ordered.quantile(0.75, dim=-1)
    return ordered > (high + 1.5 * (high - low))[:, None]


def local_tokens(attention: Tensor, summary: Tensor, ratio: float) -> Tensor:
    """Mark the top share of patches by CLS attention, except the summary tokens.

    Args:
        attention: Summed over heads [B, N].
        summary: bool [B, N].
        ratio: Share of N, rounded down.

    Returns:
        bool [B, N].
    """
    count = int(ratio * attention.shape[-1])
    top = attention.topk(count, dim=-1).indices
    return summary.new_zeros(summary.shape).scatter(-1, top, True) & ~summary


def emphasise(
    scores: Tensor, local: Tensor, summary: Tensor, rows: Tensor, *, alpha: float, beta: float
) -> Tensor:
    """Raise logits S: S + alpha |S| on local columns, S + beta |S| on summary columns.

    Args:
        scores: Attention logits [B, H, R, K].
        local, summary: bool [B, K], disjoint.
        rows: bool [B, R].
        alpha, beta: Margins, at least 0.

    Returns:
        [B, H, R, K].
    """
    factor = alpha * local.to(scores) + beta * summary.to(scores)
    factor = factor[:, None, None, :] * rows[:, None, :, None].to(scores)
    return scores + factor * scores.abs()
