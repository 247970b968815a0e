"""Maths of methods that contrast two next-token distributions."""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def implausible(logits: Tensor, beta: float) -> Tensor:
    """Mark tokens less probable than a share of the best one: adaptive plausibility.

    l_v < max l + log beta (VCD, eq. 4; Li et al. 2023, eq. 3), the same for logits and
    log-probabilities.

    Args:
        logits: Next-token logits of the stream that judges [B, V].
        beta: The share, 0 to 1; 0 marks no token.

    Returns:
        bool [B, V]; never the best token.

    Examples:
        >>> import halluc, torch
        >>> halluc.implausible(torch.tensor([[0.6, 0.3, 0.05]]).log(), beta=0.1)
        tensor([[False, False,  True]])
    """
    if beta == 0:
        return logits.new_zeros(logits.shape).bool()
    return logits < logits.amax(-1, keepdim=True) + log(beta)


def contrasted(main: Tensor, other: Tensor, alpha: float | Tensor) -> Tensor:
    """Move away from what another view of the prompt leads to: (1 + alpha) l - alpha l'.

    Args:
        main, other: Next-token logits [B, V].
        alpha: One number, or one a row [B, 1].

    Returns:
        [B, V].

    Examples:
        >>> import halluc, torch
        >>> halluc.contrasted(torch.tensor([[2.0, 1.0]]), torch.tensor([[1.0, 1.0]]), alpha=1.0)
        tensor([[3., 1.]])
    """
    return main + alpha * (main - other)


def guided(seen: Tensor, unseen: Tensor, gamma: float) -> Tensor:
    """Guide as PAI does without a classifier: gamma (log p - log p') + log p'.

    Args:
        seen, unseen: Next-token logits with and without the image [B, V].
        gamma: 1 gives log p.

    Returns:
        [B, V].
    """
    seen, unseen = seen.log_softmax(-1), unseen.log_softmax(-1)
    return gamma * (seen - unseen) + unseen
