"""Attention spelled out, for the few rows a method looks at or edits."""

from __future__ import annotations

import torch
from torch import Tensor

_LOWEST = torch.finfo(torch.float32).min


def visible(mask: Tensor | None, n_rows: int, n_keys: int, device: torch.device) -> Tensor | None:
    """Make the mask that transformers hands over explicit.

    Args:
        mask: None (causal, nothing padded), bool (True = may attend) or additive float,
            [B, 1, Q, K].
        n_rows: Q of this forward pass.
        n_keys: K.
        device: The device for a mask that has to be made.

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
    """Multiply queries [B, H, R, d] and keys [B, Hk, K, d], grouped heads expanded: [B, H, R, K].

    The plain form repeats each of the Hk key heads H / Hk times, then multiplies. Here the queries
    of a group stand below each other, so that no key is copied.
    """
    batch, heads, rows, _ = query.shape
    grouped = query.reshape(batch, key.shape[1], -1, query.shape[-1])
    if grouped.shape[2] == 1:  # a matrix and a vector, which CPUs multiply faster this way round
        return (key @ grouped.transpose(2, 3)).reshape(batch, heads, 1, -1)
    return (grouped @ key.transpose(2, 3)).reshape(batch, heads, rows, -1)


def times_values(weights: Tensor, value: Tensor) -> Tensor:
    """Multiply weights [B, H, R, K] and values [B, Hk, K, d]: [B, H, R, d]; as `products`."""
    batch, heads, rows, keys = weights.shape
    grouped = weights.reshape(batch, value.shape[1], -1, keys)
    return (grouped @ value).reshape(batch, heads, rows, -1)


def masked(
    products: Tensor, mask: Tensor | None, scaling: float, softcap: float | None = None
) -> Tensor:
    """Make attention logits in fp32: q.k * scaling, with the mask applied.

    Args:
        products: q.k [B, H, R, K]; may be written over.
        mask: From `visible`, cut to the same R rows.
        softcap: Bound on a logit's size that some models put there smoothly.

    Returns:
        [B, H, R, K]; masked entries hold fp32's minimum, so a fully masked row stays finite.
    """
    logits = products.float().mul_(scaling)
    if softcap is not None:
        logits = (logits / softcap).tanh() * softcap
    if mask is None or mask.dtype == torch.bool:
        return hidden_from(logits, mask)
    return (logits + mask.float()).clamp_(min=_LOWEST)


def may_attend(mask: Tensor) -> Tensor:
    """Turn the mask from `visible` into bool: True where a row may attend to a key."""
    return mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2


def hidden_from(logits: Tensor, mask: Tensor | None) -> Tensor:
    """Put fp32's minimum into logits [B, H, R, K] wherever a bool mask is False."""
    return logits if mask is None else torch.where(mask, logits, _LOWEST)


def attention_weights(logits: Tensor, mask: Tensor | None) -> Tensor:
    """Take the softmax over keys, [B, H, R, K]; masked keys get 0 even if a logit was edited."""
    if mask is not None and mask.dtype == torch.bool:
        logits = hidden_from(logits, mask)
    return logits.softmax(-1)


def with_bias(mask: Tensor | None, bias: Tensor, n_rows: int, key: Tensor) -> Tensor:
    """Merge a bias into a mask as the additive float mask that kernels take.

    Args:
        mask: As transformers hands it over.
        bias: [B or 1, H or 1, Q or 1, K].

    Returns:
        [B, H or 1, Q, K] in the key's dtype.
    """
    explicit = visible(mask, n_rows, key.shape[2], key.device)
    bias = bias.to(key.dtype)
    if explicit is None:
        return bias
    if explicit.dtype == torch.bool:
        lowest = torch.tensor(torch.finfo(key.dtype).min, dtype=key.dtype, device=key.device)
        return torch.where(explicit, bias, lowest)
    return explicit + bias
