"""Attention spelled out, for the few rows a method looks at or edits."""

from __future__ import annotations

import torch
from torch import Tensor

_LOWEST = torch.finfo(torch.float32).min


def visible(mask: Tensor | None, n_rows: int, n_keys: int, device: torch.device) -> Tensor | None:
    """The mask as transformers hands it over, made explicit.

    Args:
        mask: None (causal, nothing padded), bool (True = may attend) or additive float,
            [B, 1, Q, K].
        n_rows: Q of this forward pass.
        n_keys: K.
        device: Where a mask is made if there is none.

    Returns:
        The same mask, bool or additive, [B or 1, 1, Q, K]; None for one row that sees every key.
    """
    if mask is not None:
        return mask[..., :n_keys]
    if n_rows == 1:
        return None
    ones = torch.ones(n_rows, n_keys, dtype=torch.bool, device=device)
    return ones.tril(n_keys - n_rows)[None, None]


def products(query: Tensor, key: Tensor) -> Tensor:
    """q.k of queries [B, H, R, d] and keys [B, Hk, K, d], grouped heads expanded: [B, H, R, K]."""
    batch, heads, rows, _ = query.shape
    grouped = query.reshape(batch, key.shape[1], -1, query.shape[-1])
    if grouped.shape[2] == 1:  # a matrix and a vector, which CPUs multiply faster this way round
        return (key @ grouped.transpose(2, 3)).reshape(batch, heads, 1, -1)
    return (grouped @ key.transpose(2, 3)).reshape(batch, heads, rows, -1)


def times_values(weights: Tensor, value: Tensor) -> Tensor:
    """[B, H, R, K] times [B, Hk, K, d], grouped heads expanded: [B, H, R, d]."""
    batch, heads, rows, keys = weights.shape
    grouped = weights.reshape(batch, value.shape[1], -1, keys)
    return (grouped @ value).reshape(batch, heads, rows, -1)


def masked(
    products: Tensor, mask: Tensor | None, scaling: float, softcap: float | None = None
) -> Tensor:
    """Attention logits q.k * scaling in fp32, with the mask applied.

    Args:
        products: q.k [B, H, R, K]; may be written over.
        mask: From `visible`, cut to the same R rows.
        softcap: Bound on a logit's size that some models put there smoothly.

    Returns:
        [B, H, R, K]; masked entries hold fp32's minimum, so a fully masked row stays finite.
    """
    scores = products.float().mul_(scaling)
    if softcap is not None:
        scores = (scores / softcap).tanh() * softcap
    if mask is None or mask.dtype == torch.bool:
        return hidden_from(scores, mask)
    return (scores + mask.float()).clamp_(min=_LOWEST)


def may_attend(mask: Tensor) -> Tensor:
    """The mask from `visible` as bool: True where a row may attend to a key."""
    return mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2


def hidden_from(scores: Tensor, mask: Tensor | None) -> Tensor:
    """Logits with fp32's minimum wherever a bool mask is False."""
    return scores if mask is None else torch.where(mask, scores, _LOWEST)


def attention_weights(scores: Tensor, mask: Tensor | None) -> Tensor:
    """Softmax over keys, [B, H, R, K]; masked keys get exactly 0 even if their logit was edited."""
    if mask is not None and mask.dtype == torch.bool:
        scores = hidden_from(scores, mask)
    return scores.softmax(-1)


def with_bias(mask: Tensor | None, bias: Tensor, n_rows: int, key: Tensor) -> Tensor:
    """Merge a bias into a mask as the additive float mask that kernels take.

    Args:
        mask: As transformers hands it over.
        bias: [B or 1, H or 1, Q or 1, K].

    Returns:
        [B, H or 1, Q, K] in the key's dtype.
    """
    seen = visible(mask, n_rows, key.shape[2], key.device)
    bias = bias.to(key.dtype)
    if seen is None:
        return bias
    if seen.dtype == torch.bool:
        lowest = torch.finfo(key.dtype).min
        return torch.where(seen, bias, torch.tensor(lowest, dtype=key.dtype, device=key.device))
    return seen + bias
