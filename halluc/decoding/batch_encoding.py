"""Samples as the model reads them; an image that several prompts share is preprocessed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from halluc.images import as_rgb, image_hash
from halluc.interventions import Batch
from halluc.models.inputs import of_images

if TYPE_CHECKING:
    from PIL.Image import Image

    from halluc.interventions import Method
    from halluc.models import VisionLanguageModel
    from halluc.types import Sample

_TOKEN_TYPES = ("token_type_ids", "mm_token_type_ids")  # 0 for text


def batch_of(
    model: VisionLanguageModel,
    method: Method,
    samples: Sequence[Sample],
    seed: int = 0,
    device: torch.device | None = None,
) -> Batch:
    """Open the images of samples, let the method rewrite prompts, render and encode them.

    Args:
        seed: The run's.
        device: Where inputs go; None for the model's.

    Raises:
        BadImage: If an image cannot be opened.
        ValueError: As for `encoded`.
    """
    images: dict[str, Image] = {}
    for sample in samples:
        if sample.image_id not in images:
            images[sample.image_id] = as_rgb(sample.load_image())
    hashes = {image_id: image_hash(image) for image_id, image in images.items()}
    batch = Batch(
        ids=[sample.id for sample in samples],
        prompts=[sample.prompt for sample in samples],
        images=[images[sample.image_id] for sample in samples],
        image_hashes=[hashes[sample.image_id] for sample in samples],
        histories=[sample.history for sample in samples],
        seed=seed,
    )
    if "prompt" in method.declared():
        batch = method.prompt(batch)
    return encoded(model, batch, device)


def encoded(model: VisionLanguageModel, batch: Batch, device: torch.device | None = None) -> Batch:
    """Render and encode a batch's prompts.

    Raises:
        ValueError: If a prompt holds more tokens than the model has positions for, or the text of
            the model's image token.
    """
    for prompt in batch.prompts:
        model.refuse_image_token(prompt)
    turns = zip(batch.prompts, batch.histories, strict=True)
    rendered = [model.render(prompt, history) for prompt, history in turns]
    inputs = encode_once(model, rendered, batch.images, device)
    model.refuse_too_long(inputs)
    return replace(batch, rendered=rendered, inputs=inputs)


def moved(batch: Batch, device: torch.device) -> Batch:
    """Move a batch's inputs to another device."""
    inputs = {
        key: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
        for key, value in batch.inputs.items()
    }
    return replace(batch, inputs=inputs)


def encode_once(
    model: VisionLanguageModel,
    rendered: Sequence[str],
    images: Sequence[Image],
    device: torch.device | None = None,
) -> dict[str, Any]:
    """Encode prompts as `model.encode` does, but preprocess each image object once.

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
    """Return whether nothing but the text differs between questions about an image.

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
    """Complete the token ids of all prompts from the leaders' ids; None if they do not fit."""
    plain = model.tokenize(rendered)
    image = model.image_token
    completed: list[list[int]] = []
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
        completed.append(whole[: len(whole) - same] + plain[row][len(head) :])
    return completed


def _padded(
    model: VisionLanguageModel, led: dict[str, Any], tokens: list[list[int]]
) -> dict[str, Any]:
    """Make left-padded inputs of rows of tokens, with the token types the processor gives."""
    device, length = led["input_ids"].device, max(map(len, tokens))
    pad = model.pad_token
    ids = torch.tensor([[pad] * (length - len(row)) + row for row in tokens], device=device)
    mask = torch.tensor([[0] * (length - len(row)) + [1] * len(row) for row in tokens])
    types = (ids == model.image_token).to(led["input_ids"].dtype)
    extra = {key: types for key in _TOKEN_TYPES if key in led}
    mask = mask.to(device, led["attention_mask"].dtype)
    return {"input_ids": ids, "attention_mask": mask} | extra
