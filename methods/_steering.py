"""Steering: states that move one way and keep their length."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def unit(x: Tensor) -> Tensor:
    """Scale x [..., D] to length 1; zeros stay zeros."""
    return x.div(x.norm(dim=-1, keepdim=True).clamp(min=1e-12))


def of_length(x: Tensor, like: Tensor) -> Tensor:
    """Give x [..., D] the lengths and the dtype of `like`: |like| unit(x)."""
    return unit(x).mul(like.float().norm(dim=-1, keepdim=True)).to(like)


def pulled(x: Tensor, vector: Tensor, strength: float) -> Tensor:
    """Give |x| unit(x + lambda v), x [B, T, D] and v [B, 1, D] (VISTA, at second hand)."""
    return of_length(x.float() + strength * vector, x)


def turned_further(x: Tensor, vector: Tensor, strength: float) -> Tensor:
    """Turn further where a state points away: shapes as above (VISTA: llm_layers.py:17-35).

    |x| unit(unit(x) + lambda (1 + max(0, cos(x, -v))) unit(v)).
    """
    own, to = unit(x.float()), unit(vector)
    away = (-own * to).sum(-1, keepdim=True).clamp(min=0)
    return of_length(own + strength * (1 + away) * to, x)
