"""`At` made by hand for seams that edit attention, and what they are given."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from halluc.interventions import At, Batch, BatchState
from halluc.interventions.context import Phase
from halluc.models.tokens import PromptTokens, on_keys


def attending(
    *prompts: str,
    fed: int = 0,
    rows: int = 1,
    layer: int = 0,
    n_layers: int = 4,
    n_heads: int = 2,
    beams: int = 1,
    state: Any = None,
) -> At:
    """Stand where the last rows of each prompt, or of what was fed behind it, attend.

    Args:
        prompts: A letter a token: p padding, t text, i image; all of one length.
        fed: Tokens fed back so far; 0 while the prompt is read.
        rows: R, the last rows, of which each sees what stands before it.
        beams: How often each prompt stands in the batch.
        state: The method's.
    """
    ids = torch.tensor([[ord(letter) for letter in prompt] for prompt in prompts])
    tokens = PromptTokens(ids, (ids != ord("p")).long(), ids == ord("i"))
    size, length = ids.shape
    names, nothing = [str(row) for row in range(size)], [""] * size
    memory = BatchState(Batch(names, nothing, [], nothing, [()] * size), tokens, method=state)
    memory.generated = ids.new_zeros(size * beams, fed) if fed else None
    keys = length + fed
    real = tokens.attention_mask.bool().repeat_interleave(beams, 0)
    real = torch.cat([real, real.new_ones(size * beams, fed)], 1)
    causal = torch.ones(rows, keys, dtype=torch.bool).tril(keys - rows)
    phase: Phase = "decode" if fed else "prefill"
    model: Any = SimpleNamespace(
        image_columns=lambda layer, n_keys, image, n_tokens: on_keys(image, n_keys, n_tokens)
    )
    return At(
        model=model, memory=memory, phase=phase, layer=layer, n_layers=n_layers, n_heads=n_heads,
        rows=torch.ones(size * beams, rows, dtype=torch.bool), n_keys=keys, n_tokens=keys,
        repeats=beams, visible=real[:, None] & causal,
    )  # fmt: skip


def hidden_from(at: At, logits: Tensor) -> Tensor:
    """Give keys that rows may not attend to the lowest logit, as the engine hands them over."""
    assert at.visible is not None
    return logits.masked_fill(~at.visible[:, None], torch.finfo(torch.float32).min)
