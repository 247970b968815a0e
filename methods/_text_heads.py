"""Heads that speak from text: those of AD-HH as published, and the cut of what they attend to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions import At
    from halluc.interventions.requirements import Heads

SHARE = 20 / 1024  # of its heads that the paper edits in LLaVA-1.5-7B

# (layer, head), both from 0, strongest first (LLaVA/eval_scripts/eval_caption_adhh.py:142-157).
_7B = (
    (16, 29), (26, 9), (13, 31), (15, 10), (20, 12), (30, 9), (19, 18), (17, 0), (18, 9), (26, 28),
    (19, 27), (18, 26), (15, 25), (14, 16), (31, 26), (15, 24), (31, 3), (22, 20), (27, 29),
    (17, 28),
)  # fmt: skip
_13B = (
    (0, 8), (29, 27), (23, 18), (20, 11), (36, 26), (19, 37), (22, 16), (22, 34), (21, 31),
    (20, 34), (37, 11), (17, 25), (35, 10), (17, 5), (15, 26), (0, 22), (19, 5), (19, 0), (14, 1),
    (23, 20), (21, 6), (30, 24), (26, 27), (21, 32), (15, 28), (15, 31), (19, 30), (20, 8),
    (19, 14), (14, 9), (39, 26), (25, 1), (18, 32), (17, 27), (39, 32),
)  # fmt: skip
_34B = (
    (45, 34), (43, 4), (43, 48), (44, 29), (35, 47), (40, 27), (54, 34), (37, 48), (43, 2),
    (41, 34),
)  # fmt: skip
_PUBLISHED = {  # family, width, layers, heads, key-value heads, vocabulary in thousands
    ("llava", 4096, 32, 32, 32, 32): _7B,
    ("llava", 5120, 40, 40, 40, 32): _13B,
    ("llava_next", 7168, 60, 56, 8, 64): _34B,
}


def by_layer(heads: Iterable[tuple[int, int]]) -> Heads:
    """Sort heads by layer."""
    found: dict[int, list[int]] = {}
    for layer, head in sorted(heads):
        found.setdefault(layer, []).append(head)
    return {layer: tuple(members) for layer, members in found.items()}


def published_heads(config: Any) -> Heads | None:
    """Look up the heads the code edits in a checkpoint of this configuration, if it does."""
    text = config.get_text_config()
    keys = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    shape = text.hidden_size, text.num_hidden_layers, text.num_attention_heads, keys
    known = _PUBLISHED.get((config.model_type, *shape, text.vocab_size // 1000))
    return by_layer(known) if known and text.model_type == "llama" else None


def strongest(influences: Mapping[tuple[int, int], float], share: float = SHARE) -> Heads:
    """Choose the share of heads with the largest influence, at least one."""
    count = max(1, round(share * len(influences)))
    return by_layer(sorted(influences, key=lambda head: -influences[head])[:count])


def text_keys(at: At) -> Tensor:
    """Mark keys of text behind the image, generated too, bool [B, K]; none without an image."""
    image = at.image_mask
    before = image.flip(1).cumsum(1).flip(1) > 0
    return ~at.on_keys(before) & image.any(1, keepdim=True)


def cut(weights: Tensor, heads: Tensor, text: Tensor, threshold: float) -> Tensor:
    """Zero a head's attention to text where it sums to the threshold, and scale nothing up for it.

    a_j = 0 for j in text if sum_text a >= threshold (modeling_llama.py:576-581).

    Args:
        weights: Attention after the softmax [B, H, R, K].
        heads: Which may be cut, bool [1, H, 1, 1].
        text: Where rows see text, bool [B, 1, R, K].
    """
    held = (weights * text).sum(-1, keepdim=True)
    return weights.masked_fill(heads & text & (held >= threshold), 0.0)
