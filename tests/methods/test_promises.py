"""What every method promises; a new method is held to it by being registered."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import LogitsProcessor

from halluc.config import DecodingConfig
from halluc.decoding.generation import generate
from halluc.interventions import REGISTRY, Asked, Method
from halluc.models import VisionLanguageModel
from tests.kit.families import llava, picture

QUESTIONS = ("is there a dog ?", "please describe this image is there a car in the image ?")
ALL = REGISTRY.names()


def build(name: str, model: VisionLanguageModel, **params: Any) -> Method:
    cls = REGISTRY.get(name)
    return cls(cls.resolve(cls.Params(**params), model))


def asked(model: VisionLanguageModel, *rows: int) -> Asked:
    """The questions of these rows, each about a picture of its own."""
    questions, images = [QUESTIONS[row] for row in rows], [picture(row) for row in rows]
    rendered = [model.render(question) for question in questions]
    return Asked(questions, rendered, images, model.encode(rendered, images))


class First(LogitsProcessor):
    """Keeps the first token's scores."""

    scores: Tensor | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self.scores = scores.clone() if self.scores is None else self.scores
        return scores


def answer(
    model: VisionLanguageModel, method: Method, what: Asked, beams: int = 1
) -> tuple[Tensor, Tensor]:
    """Scores of the first token [B, V], and six tokens."""
    first = First()
    size = len(what.questions)
    made = generate(
        model, method, what, DecodingConfig(num_beams=beams),
        max_new_tokens=6, sample_ids=[str(i) for i in range(size)], watch=[first],
    )  # fmt: skip
    assert first.scores is not None
    return first.scores[: size * beams : beams], made.tokens


@pytest.fixture(scope="module")
def model() -> VisionLanguageModel:
    return llava()


@pytest.mark.parametrize("name", ALL)
def test_no_op_parameters_equal_the_baseline(name: str, model: VisionLanguageModel) -> None:
    inputs = asked(model, 0, 1)
    noop = REGISTRY.get(name).noop
    assert noop or name == "baseline", "a method says which parameters make it do nothing"
    logits, tokens = answer(model, build(name, model, **noop), inputs)
    stock, stock_tokens = answer(model, build("baseline", model), inputs)
    assert torch.allclose(logits, stock, atol=1e-4)
    assert torch.equal(tokens, stock_tokens)


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("name", ALL)
def test_batch_and_padding_change_nothing(
    name: str, model: VisionLanguageModel, beams: int
) -> None:
    logits, tokens = answer(model, build(name, model), asked(model, 0, 1), beams)
    for row in range(len(QUESTIONS)):
        alone, alone_tokens = answer(model, build(name, model), asked(model, row), beams)
        assert torch.allclose(logits[row], alone[0], atol=1e-3)
        assert tokens[row, : alone_tokens.shape[1]].tolist() == alone_tokens[0].tolist()


@pytest.mark.parametrize("name", ALL)
def test_no_state_leaks_from_one_sample_to_the_next(name: str, model: VisionLanguageModel) -> None:
    method = build(name, model)
    fresh, _ = answer(model, build(name, model), asked(model, 1))
    answer(model, method, asked(model, 0))
    after, _ = answer(model, method, asked(model, 1))
    assert torch.equal(after, fresh)


@pytest.mark.parametrize("name", ALL)
def test_leaving_restores_the_model(name: str, model: VisionLanguageModel) -> None:
    what = asked(model, 0, 1)
    with torch.inference_mode():
        before = model.model(**what.inputs).logits
        answer(model, build(name, model), what)
        assert torch.equal(model.model(**what.inputs).logits, before)
    assert (model.attention_of("text"), model.attention_of("vision")) == ("sdpa", "sdpa")


@pytest.mark.parametrize("name", ALL)
def test_card_says_where_the_method_comes_from(name: str) -> None:
    card = REGISTRY.get(name).card
    assert card.title
    assert name == "baseline" or (card.paper.startswith("arXiv:") and card.year >= 2018)
