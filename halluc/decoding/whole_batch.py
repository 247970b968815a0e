"""A batch of prompts from texts and images to tokens, as tests and `halluc doctor` ask it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn.functional import pad

from halluc.decoding.asking_again import AskingAgain
from halluc.decoding.batch_encoding import encoded
from halluc.decoding.generation import generate
from halluc.images import image_hash
from halluc.interventions import Batch

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor
    from transformers import LogitsProcessor

    from halluc.config import DecodingConfig
    from halluc.interventions import Method
    from halluc.models import VisionLanguageModel


class Answered(NamedTuple):
    """Answers to a batch.

    Attributes:
        tokens: Generated ids [B, T], padded behind.
        passes: Forward passes of each.
    """

    tokens: Tensor
    passes: list[float]


def answer_together(
    model: VisionLanguageModel,
    method: Method,
    batch: Batch,
    decoding: DecodingConfig,
    max_new_tokens: int,
    watch: Callable[[], Sequence[LogitsProcessor]] = tuple,
    share: bool = True,
) -> Answered:
    """Let a method rewrite, encode and answer a batch; one by one if it searches.

    Args:
        batch: Its prompts and images; what is encoded already is encoded again if the method
            rewrites prompts.
        watch: Makes onlookers for `generate`, new ones for each batch that is answered.
    """
    if "prompt" in method.declared() or not batch.rendered:
        rewritten = method.prompt(batch) if "prompt" in method.declared() else batch
        batch = encoded(model, rewritten)
    parts = [batch]
    if "search" in method.declared() and batch.size > 1:
        parts = [encoded(model, row_of(batch, row)) for row in range(batch.size)]
    asks = [AskingAgain(model, part) for part in parts]
    made = [
        generate(
            model,
            method,
            replace(part, ask=ask),
            decoding,
            max_new_tokens=max_new_tokens,
            watch=watch(),
            share=share,
        )
        for part, ask in zip(parts, asks, strict=True)
    ]
    width = max(part.tokens.shape[1] for part in made)
    rows = [
        pad(part.tokens, (0, width - part.tokens.shape[1]), value=model.pad_token) for part in made
    ]
    passes = [
        own + again
        for part, ask in zip(made, asks, strict=True)
        for own, again in zip(part.passes, ask.passes, strict=True)
    ]
    return Answered(torch.cat(rows), passes)


def batch_of_questions(
    questions: Sequence[str], images: Sequence[Image], ids: Sequence[str] | None = None
) -> Batch:
    """Put questions and their images into a batch that is not encoded yet."""
    ids = ids or [str(row) for row in range(len(questions))]
    hashes = [image_hash(image) for image in images]
    return Batch(list(ids), list(questions), list(images), hashes, [()] * len(ids))


def row_of(batch: Batch, row: int) -> Batch:
    """Take one prompt of a batch, to be encoded alone."""
    only = slice(row, row + 1)
    return replace(
        batch,
        ids=batch.ids[only],
        prompts=batch.prompts[only],
        images=batch.images[only],
        image_hashes=batch.image_hashes[only],
        histories=batch.histories[only],
        rendered=(),
        inputs={},
    )
