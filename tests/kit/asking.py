"""Ask tiny models: the questions, batches and replies that tests of methods share."""

from __future__ import annotations

from typing import Any

from halluc.config import DecodingConfig
from halluc.decoding.batch_encoding import encoded
from halluc.interventions import Batch, Method
from halluc.interventions.compose import find
from halluc.models import VisionLanguageModel
from halluc.testing import Reply, batch_of_questions, reply
from tests.kit.families import picture

QUESTIONS = ("is there a dog ?", "please describe this image is there a car in the image ?")


def prepared(name: str, model: VisionLanguageModel, **params: Any) -> Method:
    """Prepare a registered method, or a composite, for a model."""
    return find(name).for_model(model, params)


def questions(model: VisionLanguageModel, *rows: int) -> Batch:
    """Encode the questions of these rows, each about a picture of its own."""
    images = [picture(number) for number in rows]
    texts = [QUESTIONS[number] for number in rows]
    return encoded(model, batch_of_questions(texts, images, [str(number) for number in rows]))


def answer(
    model: VisionLanguageModel, method: Method, batch: Batch, beams: int = 1, tokens: int = 6
) -> Reply:
    """Answer a batch greedily or with beams."""
    return reply(model, method, batch, DecodingConfig(num_beams=beams), tokens)
