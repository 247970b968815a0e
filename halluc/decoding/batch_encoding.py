"""Samples as the model reads them; an image that several ask about is preprocessed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from halluc.images import as_rgb, image_hash
from halluc.interventions import Asked
from halluc.models.inputs import of_images

if TYPE_CHECKING:
    from PIL.Image import Image

    from halluc.models import VisionLanguageModel
    from halluc.types import Sample

_TOKEN_TYPES = ("token_type_ids", "mm_token_type_ids")  # 0 for text


@dataclass(frozen=True)
class Prompts:
    """A batch of samples, ready to be answered.

    Attributes:
        asked: What they ask.
        hashes: Of their images, by `image_id`.
    """

    asked: Asked
    hashes: dict[str, str]

    def to(self, device: torch.device) -> Prompts:
        """With inputs on another device."""
        moved = {
            key: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
            for key, value in self.asked.inputs.items()
        }
        return replace(self, asked=replace(self.asked, inputs=moved))


def prompts(
    model: VisionLanguageModel, batch: Sequence[Sample], device: torch.device | None = None
) -> Prompts:
    """Open the images of a batch, render and encode its prompts.

    Args:
        device: Where inputs go; None for the model's.
    """
    images: dict[str, Image] = {}
    for sample in batch:
        if sample.image_id not in images:
            images[sample.image_id] = as_rgb(sample.load_image())
    rendered = [model.render(sample.prompt, sample.history) for sample in batch]
    seen = [images[sample.image_id] for sample in batch]
    inputs = encode_once(model, rendered, seen, device)
    hashes = {image_id: image_hash(image) for image_id, image in images.items()}
    return Prompts(Asked([s.prompt for s in batch], rendered, seen, inputs), hashes)


def encode_once(
    model: VisionLanguageModel,
    rendered: Sequence[str],
    images: Sequence[Image],
    device: torch.device | None = None,
) -> dict[str, Any]:
    """`model.encode`, for which each image object is preprocessed once.

    The processor sees one prompt for each image. Of the others only the text is tokenized, and
    what differs is put behind the tokens that the processor made of image and template. Where
    tokens do not come apart like that, the processor sees all prompts.
    """
    leaders = {id(image): row for row, image in reversed(list(enumerate(images)))}
    rows = sorted(leaders.values())
    if len(rows) == len(images):
        return model.encode(rendered, images, device)
    led = model.encode([rendered[row] for row in rows], [images[row] for row in rows], device)
    number = [rows.index(leaders[id(image)]) for image in images]
    tokens = _completed(model, led, rendered, rows, number)
    if tokens is None or not _comes_apart(model, led):
        return model.encode(rendered, images, device)
    apart = model.image_inputs(led)
    chosen = {key: torch.cat([apart[n][key] for n in number]) for key in apart[0]}
    return _padded(model, led, tokens) | chosen


def _comes_apart(model: VisionLanguageModel, led: dict[str, Any]) -> bool:
    """Whether nothing but the text differs between questions about an image.

    Q-Formers read the question, cross-attention masks are as long as it, and token types are as
    `_padded` makes them in all families but some.
    """
    if {"qformer_input_ids", "cross_attention_mask"} & set(led) or not of_images(led):
        return False
    types = (led["input_ids"] == model.image_token).long()
    return all(torch.equal(types, led[key]) for key in _TOKEN_TYPES if key in led)


def _completed(
    model: VisionLanguageModel,
    led: dict[str, Any],
    rendered: Sequence[str],
    rows: list[int],
    number: list[int],
) -> list[list[int]] | None:
    """Token ids of all prompts, from those the processor has seen; None if they do not fit."""
    plain: list[list[int]] = model.processor.tokenizer(list(rendered))["input_ids"]
    image = model.image_token
    found: list[list[int]] = []
    for row, leader in enumerate(number):
        mask = led["attention_mask"][leader].bool()
        whole, short = led["input_ids"][leader][mask].tolist(), plain[rows[leader]]
        if image not in whole:
            return None
        behind = whole[::-1].index(image)
        same = next(
            (n for n in range(behind) if whole[len(whole) - n - 1] != short[len(short) - n - 1]),
            behind,
        )
        head = short[: len(short) - same]
        if plain[row][: len(head)] != head:
            return None
        found.append(whole[: len(whole) - same] + plain[row][len(head) :])
    return found


def _padded(
    model: VisionLanguageModel, led: dict[str, Any], tokens: list[list[int]]
) -> dict[str, Any]:
    """Rows of tokens as left-padded inputs, with the token types the processor gives."""
    device, length = led["input_ids"].device, max(map(len, tokens))
    pad = model.pad_token
    ids = torch.tensor([[pad] * (length - len(row)) + row for row in tokens], device=device)
    mask = torch.tensor([[0] * (length - len(row)) + [1] * len(row) for row in tokens])
    types = (ids == model.image_token).to(led["input_ids"].dtype)
    extra = {key: types for key in _TOKEN_TYPES if key in led}
    mask = mask.to(device, led["attention_mask"].dtype)
    return {"input_ids": ids, "attention_mask": mask} | extra
