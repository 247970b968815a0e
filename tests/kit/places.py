"""`At` made by hand, for seams that are called without a model."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from halluc.interventions import At, Batch, BatchState, Method
from halluc.interventions.context import TowerLayer
from halluc.models.tokens import PromptTokens


def _memory(rows: int, step: int) -> BatchState:
    ids, nothing = [str(row) for row in range(rows)], [""] * rows
    tokens = torch.ones(rows, 1, dtype=torch.long)
    prompts = PromptTokens(tokens, tokens, tokens == 0)
    generated = tokens.new_zeros(rows, step) if step else None
    return BatchState(Batch(ids, nothing, [], nothing, [()] * rows), prompts, generated=generated)


def in_tower(
    layer: int, n_layers: int, features: int, attention: Tensor, values: Tensor, state: Any
) -> At:
    """Stand at a layer of the vision tower, as `image_tokens` does.

    Args:
        features: The layer whose output the language model reads.
        attention: [N, H, 1 + P].
        values: [N, H, 1 + P, d].
        state: What `TowerLayer.state` is.
    """
    model: Any = None
    return At(
        model=model, memory=_memory(len(attention), 0), phase="prefill", layer=layer,
        n_layers=n_layers, n_heads=1, rows=torch.ones(1, 1, dtype=torch.bool), n_keys=1, n_tokens=1,
        part="vision", tower_layer=TowerLayer(features, attention, values, state),
    )  # fmt: skip


def combined(method: Method, step: int = 0, greedy: bool = True, /, **streams: Tensor) -> Tensor:
    """Let a method make a row of next-token logits of its streams', -inf where it forbids."""
    rows = len(streams["main"])
    model: Any = None
    at = At(
        model=model, memory=_memory(rows, step), phase="decode" if step else "prefill", layer=1,
        n_layers=1, n_heads=1, rows=torch.ones(rows, 1, dtype=torch.bool), n_keys=1, n_tokens=1,
    )  # fmt: skip
    at.memory.greedy = greedy
    made = method.next_token_logits(at, streams)
    forbidden = at.forbidden.tokens
    return made if forbidden is None else made.masked_fill(forbidden, float("-inf"))
