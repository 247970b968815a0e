"""Ask tiny models: the questions, batches and replies that tests of methods share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from halluc.config import DecodingConfig
from halluc.decoding.asking_again import AskingAgain
from halluc.decoding.batch_encoding import encoded
from halluc.decoding.streams import encoded_images
from halluc.decoding.whole_batch import answer_together
from halluc.errors import UserError
from halluc.interventions import REGISTRY, Batch, BatchState, Method
from halluc.interventions.compose import find
from halluc.interventions.engine import intervene
from halluc.models import VisionLanguageModel
from halluc.testing import BatchReply, batch_of_questions, reply
from tests.kit.families import picture

BATCHED = [name for name in REGISTRY.names() if "search" not in REGISTRY.get(name).declared()]
"""Methods that answer several prompts in one batch: all but those that search."""

QUESTIONS = ("is there a dog ?", "please describe this image is there a car in the image ?")


def prepared(name: str, model: VisionLanguageModel, **params: Any) -> Method:
    """Prepare a registered method, or a composite, for a model; skip what is too old for it."""
    try:
        return find(name).for_model(model, params)
    except UserError as refusal:
        if str(refusal).endswith("update transformers"):
            pytest.skip(str(refusal))
        raise


def questions(model: VisionLanguageModel, *rows: int) -> Batch:
    """Encode the questions of these rows, each about a picture of its own."""
    images = [picture(number) for number in rows]
    texts = [QUESTIONS[number] for number in rows]
    return encoded(model, batch_of_questions(texts, images, [str(number) for number in rows]))


def questions_about_shapes(model: VisionLanguageModel, *rows: int) -> Batch:
    """The same about pictures of different shapes, which some models cut into tiles."""
    images = [picture(number, 32 + 16 * number, 32) for number in rows]
    texts = [QUESTIONS[number] for number in rows]
    return encoded(model, batch_of_questions(texts, images, [str(number) for number in rows]))


def able_to_ask(model: VisionLanguageModel, batch: Batch) -> Batch:
    """The batch as `generate` is given it where a method may ask the model first."""
    return replace(batch, ask=AskingAgain(model, batch))


def answer(
    model: VisionLanguageModel, method: Method, batch: Batch, beams: int = 1, tokens: int = 6
) -> BatchReply:
    """Answer a batch greedily or with beams."""
    return reply(model, method, batch, DecodingConfig(num_beams=beams), tokens)


def written(
    model: VisionLanguageModel, method: Method, batch: Batch, beams: int = 1, length: int = 4
) -> list[list[int]]:
    """Answer a batch, one by one if the method searches; its tokens up to the end token."""
    decoding = DecodingConfig(num_beams=beams)
    rows = answer_together(model, method, batch, decoding, length).tokens.tolist()
    return [row[: row.index(2) + 1] if 2 in row else row for row in rows]


def logits_after(model: VisionLanguageModel, method: Method, inputs: Mapping[str, Any]) -> Tensor:
    """Read prompts in one forward pass with the method's seams live; next-token logits [B, V]."""
    state = BatchState.of_inputs(model, inputs)
    with torch.inference_mode(), intervene(model, method, state) as engine:
        engine.prepare(inputs)
        logits: Tensor = model.model(**inputs).logits[:, -1]
    return logits


def thinned(
    model: VisionLanguageModel, method: Method, inputs: Mapping[str, Any]
) -> dict[str, Any]:
    """Encode images with no more tokens than a method leaves; the inputs that go with them."""
    batch = BatchState.of_inputs(model, inputs).batch
    with torch.inference_mode():
        return encoded_images(model, method, batch, dict(inputs))[0]
