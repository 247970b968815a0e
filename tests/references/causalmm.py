"""CausalMM (arXiv 2410.04780; The-Martyr/CausalMM 6d1ae4e).

From the code and its README; of the paper only the abstract was read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import interpolate
from transformers.masking_utils import AttentionMaskInterface, eager_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from tests.references.plain_loop import (
    Inputs,
    eager,
    forward,
    greedy,
    input_edited,
    layers,
    next_logits,
)

Kind = Literal["shuffled", "random", "uniform", "reversed"]
Draw = Callable[[int, tuple[int, ...]], Tensor]
"""Uniform numbers of a shape: for the image (-1), the prompt (0), or the n-th token (n)."""


def exchanged(kind: Kind, row: Tensor, draws: Tensor) -> Tensor:
    """Other attention weights for those of one row and head that it may attend to, [K]."""
    if kind == "shuffled":
        return row[draws.argsort()]
    if kind == "uniform":
        return torch.full_like(row, 1 / len(row))
    new = draws if kind == "random" else row.max() - row
    return new / new.sum() if float(new.sum()) > 0 else torch.full_like(row, 1 / len(row))


@contextmanager
def attending(
    config: Any, edit: Callable[[Any, Tensor, Tensor], Tensor], part: Any
) -> Iterator[None]:
    """Attend by `edit(module, weights, visible)` in place of the weights [N, H, Q, K]."""

    def attend(
        module: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Any = None,
        **rest: Any,
    ) -> Any:
        times = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(times, 1), value.repeat_interleave(times, 1)
        logits = query @ key.transpose(2, 3) * rest["scaling"]
        if attention_mask is not None:
            logits = logits + attention_mask
        weights = edit(module, logits.softmax(-1), logits > torch.finfo(logits.dtype).min / 2)
        return (weights @ value).transpose(1, 2).contiguous(), weights

    ALL_ATTENTION_FUNCTIONS["reference"] = attend
    AttentionMaskInterface.register("reference", eager_mask)
    before = config._attn_implementation
    part({config_name(config): "reference"})
    try:
        yield
    finally:
        part({config_name(config): before})
        del ALL_ATTENTION_FUNCTIONS["reference"]
        del AttentionMaskInterface._global_mapping["reference"]


def config_name(config: Any) -> str:
    return "vision_config" if "vision" in config.model_type else "text_config"


def in_tower(kind: Kind, draw: Draw) -> Callable[[Any, Tensor, Tensor], Tensor]:
    """Exchange all rows of an image; each head has an order of its own."""

    def edit(module: Any, weights: Tensor, visible: Tensor) -> Tensor:
        _, heads, rows, keys = weights.shape
        draws = draw(-1, (heads, rows if kind == "random" else 1, keys))
        draws = draws.expand(heads, rows, keys)
        new = [
            torch.stack([exchanged(kind, weights[0, h, r], draws[h, r]) for r in range(rows)])
            for h in range(heads)
        ]
        return torch.stack(new)[None]

    return edit


def in_text(kind: Kind, draw: Draw, n_prompt: int) -> Callable[[Any, Tensor, Tensor], Tensor]:
    """Exchange all rows; the prompt's draw together, each token's by itself."""

    def edit(module: Any, weights: Tensor, visible: Tensor) -> Tensor:
        _, heads, rows, _ = weights.shape
        new = torch.zeros_like(weights)
        lines = n_prompt if kind == "random" else 1
        prompt = draw(0, (heads, lines, n_prompt)).expand(heads, n_prompt, n_prompt)
        for row in range(rows):
            if row < n_prompt:
                draws = prompt[:, row]
            else:
                draws = draw(row - n_prompt + 1, (heads, 1, row + 1))[:, 0]
            for head in range(heads):
                seen = weights[0, head, row, : row + 1]
                new[0, head, row, : row + 1] = exchanged(kind, seen, draws[head, : row + 1])
        return new

    return edit


def weighted(kind: Kind, attention: Tensor, draw: Draw) -> Tensor:
    """The factor [P] on each patch's features that the code makes of a map [1, H, T, T]."""
    _, heads, side, _ = attention.shape
    if kind == "shuffled":
        order = draw(-1, (heads, side * side)).argsort(-1)
        new = torch.stack([attention[0, h].flatten()[order[h]] for h in range(heads)])
        attention = new.view(1, heads, side, side)
    elif kind == "random":
        attention = draw(-1, (heads, side * side)).view(1, heads, side, side) * 2
    elif kind == "uniform":
        attention = attention.mean((2, 3), keepdim=True).expand_as(attention)
    else:
        attention = attention.amax((2, 3), keepdim=True) - attention
    grid = int(math.sqrt(side))  # of T - 1 patches
    small = interpolate(attention, size=(grid, grid), mode="bilinear", align_corners=False)
    return small.mean(1).flatten()


def causalmm(
    model: Any,
    inputs: Inputs,
    *,
    draw: Draw,
    n_tokens: int = 12,
    variant: Literal["paper", "official_code"] = "paper",
    parts: Literal["both", "vision", "text"] | None = None,
    vision: Kind = "shuffled",
    text: Kind = "reversed",
    gamma: float | None = None,
    beta: float | None = None,
) -> tuple[list[int], Tensor]:
    """Greedy tokens and contrasted logits.

    Args:
        model: A transformers model for image and text.
        inputs: One encoded prompt with one image, which is not cut into tiles.
        draw: What shuffled and random attention is made of.
        n_tokens: Tokens at most.
        variant: The code multiplies features by a map, contrasts the first token alone, and has
            other strengths in its script.
        parts: Where attention is exchanged.
        vision, text: How.
        gamma: Strength of each contrast.
        beta: Of the cut-off.
    """
    paper = variant == "paper"
    parts = parts or ("both" if paper else "vision")
    gamma = (0.5 if paper else 1.0) if gamma is None else gamma
    beta = (0.1 if paper else 0.6) if beta is None else beta
    n_prompt = inputs["input_ids"].shape[1]
    sub = model.config.vision_config, model.config.get_text_config()
    switch = model.set_attn_implementation

    def through_tower(tokens: list[int]) -> Tensor:
        if paper:
            with attending(sub[0], in_tower(vision, draw), switch):
                return next_logits(model, inputs, tokens)
        maps: list[Tensor] = []

        def keep(module: Any, weights: Tensor, visible: Tensor) -> Tensor:
            maps.append(weights)
            return weights

        with attending(sub[0], keep, switch):
            forward(model, inputs, tokens)
        factor = weighted(vision, maps[model.config.vision_feature_layer], draw)
        with input_edited(model.model.multi_modal_projector, lambda seen: seen * factor[:, None]):
            return next_logits(model, inputs, tokens)

    def through_text(tokens: list[int]) -> Tensor:
        with attending(sub[1], in_text(text, draw, n_prompt), switch):
            return next_logits(model, inputs, tokens)

    def logits(tokens: list[int]) -> Tensor:
        main = next_logits(model, inputs, tokens)
        found = main.clone()
        if paper or not tokens:
            for part, other in (("vision", through_tower), ("text", through_text)):
                if parts in ("both", part):
                    # README: (1 + 2 gamma) l - gamma l_v - gamma l_t, for both.
                    found += gamma * (main - other(tokens))
        least = main.max() + math.log(beta) if beta else -math.inf
        return found.masked_fill(main < least, -math.inf)

    assert layers(model)
    with eager(model), torch.no_grad():
        return greedy(model, logits, n_tokens)
