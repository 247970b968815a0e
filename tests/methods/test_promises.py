"""What every method promises; a new method is held to it by being registered."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from halluc.interventions import REGISTRY, Method
from halluc.interventions.engine import intervene
from halluc.models import VisionLanguageModel
from tests.families import llava, picture, prompts

QUESTIONS = ("is there a dog ?", "please describe this image is there a car in the image ?")
ALL = REGISTRY.names()


def build(name: str, model: VisionLanguageModel, **params: Any) -> Method:
    cls = REGISTRY.get(name)
    return cls(cls.resolve(cls.Params(**params), model))


def answer(
    model: VisionLanguageModel, method: Method, inputs: dict[str, Tensor], beams: int = 1
) -> tuple[Tensor, Tensor]:
    """Logits of the first token and six greedy tokens."""
    first: list[Tensor] = []

    def keep(_: Tensor, scores: Tensor) -> Tensor:
        first.append(scores.clone())
        return scores

    with torch.inference_mode(), intervene(model, method, model.prompted(inputs)) as engine:
        method.prepare(engine, inputs)
        tokens = model.model.generate(
            **inputs, do_sample=False, max_new_tokens=6, num_beams=beams, logits_processor=[keep]
        )
    return first[0][::beams], tokens[:, inputs["input_ids"].shape[1] :]


@pytest.fixture(scope="module")
def model() -> VisionLanguageModel:
    return llava()


@pytest.mark.parametrize("name", ALL)
def test_no_op_parameters_equal_the_baseline(name: str, model: VisionLanguageModel) -> None:
    inputs = prompts(model, *QUESTIONS)
    noop = REGISTRY.get(name).noop
    assert noop or name == "greedy", "a method says which parameters make it do nothing"
    logits, tokens = answer(model, build(name, model, **noop), inputs)
    stock, stock_tokens = answer(model, build("greedy", model), inputs)
    assert torch.allclose(logits, stock, atol=1e-4)
    assert torch.equal(tokens, stock_tokens)


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("name", ALL)
def test_batch_and_padding_change_nothing(
    name: str, model: VisionLanguageModel, beams: int
) -> None:
    logits, tokens = answer(model, build(name, model), prompts(model, *QUESTIONS), beams)
    for row, question in enumerate(QUESTIONS):
        one = model.encode([model.render(question)], [picture(row)])
        alone, alone_tokens = answer(model, build(name, model), one, beams)
        assert torch.allclose(logits[row], alone[0], atol=1e-3)
        assert tokens[row, : alone_tokens.shape[1]].tolist() == alone_tokens[0].tolist()


@pytest.mark.parametrize("name", ALL)
def test_no_state_leaks_from_one_sample_to_the_next(name: str, model: VisionLanguageModel) -> None:
    method = build(name, model)
    ones = [model.encode([model.render(q)], [picture(i)]) for i, q in enumerate(QUESTIONS)]
    fresh, _ = answer(model, build(name, model), ones[1])
    answer(model, method, ones[0])
    after, _ = answer(model, method, ones[1])
    assert torch.equal(after, fresh)


@pytest.mark.parametrize("name", ALL)
def test_leaving_restores_the_model(name: str, model: VisionLanguageModel) -> None:
    inputs = prompts(model, *QUESTIONS)
    with torch.inference_mode():
        before = model.model(**inputs).logits
        answer(model, build(name, model), inputs)
        assert torch.equal(model.model(**inputs).logits, before)
    assert (model.attention_of("text"), model.attention_of("vision")) == ("sdpa", "sdpa")


@pytest.mark.parametrize("name", ALL)
def test_card_says_where_the_method_comes_from(name: str) -> None:
    card = REGISTRY.get(name).card
    assert card.title
    assert name == "greedy" or (card.paper.startswith("arXiv:") and card.year >= 2018)
