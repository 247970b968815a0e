"""Model inputs as dictionaries of tensors: what belongs to tokens, what to images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad as padded

Inputs = Mapping[str, Tensor]
"""What a model is given for B prompts, left-padded to L tokens, with N images, at most one each.

By token: `input_ids`, int [B, L]; `attention_mask`, int [B, L], 1 at real tokens;
`token_type_ids` and `mm_token_type_ids`, int [B, L], of some families; `cross_attention_mask`,
int [B, L, 1, tiles], of those that hold the image in layers of its own.

By image, in the order of their rows: `pixel_values`, [N, 3, height, width]; of families that cut
images into tiles [N, ..., tiles, 3, height, width], or tiles of all images below each other; of
those like Qwen2-VL patches of all images below each other. What describes images stands next to it,
[N, ...] each: `image_sizes`, `image_grid_thw`, `spatial_shapes`. What a Q-Former reads counts as
by image, too: `qformer_input_ids` and `qformer_attention_mask`, int [N, tokens of its own].
"""

PER_TOKEN = (
    "input_ids",
    "attention_mask",
    "token_type_ids",
    "mm_token_type_ids",
    "cross_attention_mask",
)
"""Inputs [B, L, ...]; all others belong to images, in the order of their rows."""


def of_images(inputs: Inputs) -> dict[str, Tensor]:
    """Return what `inputs` hold by image, [N, ...] each, without what they hold by token."""
    return {key: value for key, value in inputs.items() if key not in PER_TOKEN}


def kept(inputs: Inputs, keep: Tensor, pad: int) -> dict[str, Tensor]:
    """Keep the inputs of some tokens, and left-pad them again.

    Args:
        inputs: [B, L, ...] each.
        keep: bool [B, L].
        pad: The padding token's id.

    Returns:
        [B, L', ...] each, L' the most tokens that a row keeps.
    """
    order = keep.int().argsort(dim=1, stable=True)  # what is dropped moves to the left
    real = keep.gather(1, order)
    start = keep.shape[1] - int(keep.sum(1).max())
    rows = torch.arange(len(keep), device=keep.device)[:, None]
    shorter: dict[str, Tensor] = {}
    for key in PER_TOKEN:
        if key in inputs:
            value = inputs[key][rows, order]
            fill = pad if key == "input_ids" else 0
            blank = ~real.view(*real.shape, *[1] * (value.dim() - 2))
            shorter[key] = value.masked_fill(blank, fill)[:, start:]
    return shorter


def continued(inputs: Inputs, tokens: Tensor) -> dict[str, Tensor]:
    """Append tokens of an answer to prompts; whatever else grows with tokens repeats its last.

    Args:
        inputs: [B, L, ...] each, left-padded.
        tokens: int [B, T].

    Returns:
        [B, L + T, ...] each; inputs by image are the same.
    """
    longer = dict(inputs) | {"input_ids": torch.cat([inputs["input_ids"], tokens], 1)}
    for key in set(PER_TOKEN) & inputs.keys() - {"input_ids"}:
        last = [inputs[key][:, -1:]] * tokens.shape[1]
        longer[key] = torch.cat([inputs[key], *last], 1)
    return longer


def apart(inputs: Inputs, tokens: Sequence[int]) -> list[dict[str, Tensor]]:
    """Split inputs by image; their rows may be whole images, tiles or patches.

    Args:
        inputs: Of B prompts with N images.
        tokens: How many image tokens each image has, N of them.

    Returns:
        N mappings of inputs by image, each of one image: [1, ...], or its own tiles or patches.
    """
    images: list[dict[str, Tensor]] = [{} for _ in tokens]
    for key, value in of_images(inputs).items():
        if len(value) == len(tokens):
            sizes = [1] * len(tokens)
        elif key == "pixel_values" and "image_grid_thw" in inputs:
            sizes = inputs["image_grid_thw"].prod(1).tolist()
        else:
            sizes = _tiles(inputs, tokens)
        for image, rows in zip(images, value.split(sizes), strict=True):
            image[key] = rows
    return images


def _tiles(inputs: Inputs, tokens: Sequence[int]) -> list[int]:
    """Count the tiles each image was cut into: as many as make its share of all tokens."""
    shapes = inputs.get("spatial_shapes")
    size = torch.ones(len(inputs["pixel_values"])) if shapes is None else shapes.prod(1)
    ends = torch.tensor(tokens).cumsum(0) / sum(tokens)
    filled = (size.cumsum(0) / size.sum()).cpu()
    upto = [int((filled < end + 1e-6).sum()) for end in ends]
    return [end - start for start, end in zip([0, *upto], upto, strict=False)]


def with_queries_right_padded(inputs: Inputs) -> dict[str, Tensor]:
    """Pad what a Q-Former reads on the right: it counts positions from the left, padding included.

    Processors pad it on the language model's side, and an image's features would then depend on
    the longest question of the batch.

    Args:
        inputs: Of B prompts; those without a Q-Former come back as they are.

    Returns:
        The inputs; `qformer_input_ids` and `qformer_attention_mask`, as long as before, are
        right-padded.
    """
    if "qformer_attention_mask" not in inputs:
        return dict(inputs)
    order = inputs["qformer_attention_mask"].argsort(dim=1, descending=True, stable=True)
    queries = {key: inputs[key] for key in ("qformer_input_ids", "qformer_attention_mask")}
    return dict(inputs) | {key: value.gather(1, order) for key, value in queries.items()}


def stacked(batches: Sequence[Inputs], pad: int) -> dict[str, Any]:
    """Stack batches, left-padded to one length; images stand in that order.

    Images encoded ahead are not a tensor, and are taken from the first batch that has them.

    Args:
        batches: Inputs [B, L, ...] each; B and L may differ.
        pad: The padding token's id.

    Returns:
        [sum of B, longest L, ...] each by token, [sum of N, ...] by image.
    """
    stack: dict[str, Any] = {}
    for key in dict.fromkeys(key for batch in batches for key in batch):
        values = [batch[key] for batch in batches if key in batch]
        if not isinstance(values[0], Tensor):
            stack[key] = values[0]
            continue
        widest = [max(sizes) for sizes in zip(*(value.shape[1:] for value in values), strict=True)]
        fill = pad if key == "input_ids" else 0
        stack[key] = torch.cat(
            [_widened(value, widest, key in PER_TOKEN, fill) for value in values]
        )
    return stack


def _widened(value: Tensor, widest: Sequence[int], in_front: bool, fill: int) -> Tensor:
    """Pad all dimensions but the first to `widest`: tokens in front, all else behind."""
    room: list[int] = []
    for size, most in zip(value.shape[1:], widest, strict=True):
        room = ([most - size, 0] if in_front and not room else [0, most - size]) + room
    return padded(value, room, value=fill)
