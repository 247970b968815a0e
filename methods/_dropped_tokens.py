"""Image tokens that a degraded view of a prompt goes without, though they stay in their places."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions import At

_AWAY = -1e4
"""Added to attention logits: no token attends, unless it may attend to such tokens alone."""


def smallest(scores: Tensor, among: Tensor, share: float) -> Tensor:
    """Mark the tokens with the smallest scores, a share of those that count; the first of equals.

    Args:
        scores: [B, N].
        among: Which of them count, bool [B, N].
        share: Of each row's tokens that count, rounded to a whole number, at least one.

    Returns:
        bool [B, N].
    """
    ranks = scores.float().masked_fill(~among, float("inf"))
    ranks = ranks.argsort(dim=-1, stable=True).argsort(-1)
    count = (among.sum(-1, keepdim=True).double() * share).round().clamp(min=1)
    return among & (ranks < count)


def away(columns: Tensor) -> Tensor:
    """Give the bias on attention logits that takes keys out of sight.

    A row all of whose keys are out of sight attends to them as it would without the bias.

    Args:
        columns: Keys to take away, bool [B, K].

    Returns:
        [B, 1, 1, K] in fp32.
    """
    return _AWAY * columns[:, None, None, :].float()


def in_stream(at: At, name: str) -> Tensor:
    """Mark the rows of a stream, bool [B]; none in passes of a method's own."""
    found: Tensor = at.stream == (at.streams.index(name) if name in at.streams else -1)
    return found
