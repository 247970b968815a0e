"""What tells an attention sink: attention on the first token, massive activations, small values.

Sizes: L layers, H heads, B texts, T tokens, D hidden dimensions, d dimensions of a head.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from halluc.models.massive import MASSIVE

EPSILON = 0.3
"""Attention above which a head has a sink."""


class Inside(NamedTuple):
    """What a model computes inside.

    Attributes:
        attention: Attention weights [L, B, H, T, T].
        hidden: The residual stream after each layer [L, B, T, D].
        values: Norms of the value vectors, averaged over heads [L, B, T].
    """

    attention: Tensor
    hidden: Tensor
    values: Tensor


def look_inside(model: Any, ids: Tensor) -> tuple[Tensor, Inside]:
    """Run a Llama once.

    Args:
        model: A `LlamaForCausalLM` with eager attention.
        ids: Token ids [B, T].

    Returns:
        Logits [B, T, vocabulary], and what is inside.
    """
    hidden: list[Tensor] = []
    values: list[Tensor] = []
    head: int = model.config.head_dim
    hooks = []
    for layer in model.model.layers:
        # `output_hidden_states` gives the last layer's after the final norm, so hooks read it.
        hooks.append(layer.register_forward_hook(lambda _m, _i, output: hidden.append(output)))
        project: nn.Module = layer.self_attn.v_proj
        hooks.append(project.register_forward_hook(lambda _m, _i, output: values.append(output)))
    try:
        with torch.no_grad():
            output = model(input_ids=ids, use_cache=False, output_attentions=True)
    finally:
        for hook in hooks:
            hook.remove()
    norms = [value.unflatten(-1, (-1, head)).norm(dim=-1).mean(-1) for value in values]
    inside = Inside(torch.stack(output.attentions), torch.stack(hidden), torch.stack(norms))
    return output.logits, inside


def first_attention(attention: Tensor) -> Tensor:
    """Average the attention that each head gives the first token.

    Gu et al., https://arxiv.org/abs/2410.10781, section 3.2: the mean over texts and over all rows,
    the first one too, which is always 1. Uniform attention gives (1 + 1/2 + ... + 1/T) / T.

    Args:
        attention: Attention weights [L, B, H, T, T].

    Returns:
        Means [L, H], 0 to 1.
    """
    return attention[..., 0].mean((1, 3))


def sink_share(attention: Tensor) -> float:
    """Return the share of heads with a sink: Sink1 of Gu et al. (section 3.2), at EPSILON."""
    return float((first_attention(attention) > EPSILON).float().mean())


def peaks(hidden: Tensor) -> Tensor:
    """Return the largest |x_d| / rms(x) of each token: 1 to sqrt(D), [..., D] to [...]."""
    return hidden.abs().amax(-1) / hidden.pow(2).mean(-1).sqrt()


def excess_kurtosis(hidden: Tensor) -> Tensor:
    """Return the excess kurtosis of all activations of each layer, [L, B, T, D] to [L].

    0 where they are normal. OSP, https://arxiv.org/abs/2506.19697, reports it for language models.
    """
    centred = hidden.flatten(1) - hidden.flatten(1).mean(1, keepdim=True)
    return centred.pow(4).mean(1) / centred.pow(2).mean(1).pow(2) - 3


def drained(values: Tensor) -> Tensor:
    """Return |v_0| over the mean |v| of all other tokens, [L, B, T] to [L]."""
    return values[..., 0].mean(1) / values[..., 1:].mean((1, 2))


def measures(inside: Inside) -> dict[str, Any]:
    """Return every measure as JSON holds it: numbers, and lists of a number a layer.

    `sink` is the rule: the first token is massive after some layer, and some head looks at it.
    """
    attention = first_attention(inside.attention)
    peak = peaks(inside.hidden)
    first = peak[..., 0].mean(1)
    limit = inside.hidden.shape[-1] ** 0.5
    return {
        "sink_share": sink_share(inside.attention),
        "attention": _rounded(attention.mean(1)),
        "attention_most": round(float(attention.max()), 4),
        "peak": _rounded(peak.amax((1, 2))),
        "peak_first": _rounded(first),
        "limit": round(limit, 2),
        "values": _rounded(drained(inside.values)),
        "kurtosis": _rounded(excess_kurtosis(inside.hidden)),
        "sink": bool(first.max() >= MASSIVE * limit and attention.max() >= EPSILON),
    }


def _rounded(values: Tensor) -> list[float]:
    return [round(float(value), 4) for value in values]
