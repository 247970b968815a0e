"""Parts of a composite that share a seam: gains multiply and biases add, end to end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

import pytest
import torch
from torch import Tensor

from halluc.interventions import REGISTRY, At, Method, method
from halluc.interventions.compose import find
from halluc.models import VisionLanguageModel
from tests.kit.asking import QUESTIONS, answer, logits_after, prepared, questions
from tests.kit.families import llava, prompts


@cache
def model() -> VisionLanguageModel:
    return llava()


@pytest.fixture(autouse=True)
def parts() -> Iterator[None]:
    """Register two gains and two biases for the length of a test."""
    with REGISTRY.scratch():
        for name, gain in {"first": 3.0, "second": 0.5}.items():
            method(f"gain-{name}")(type("Gain", (Gain,), {"gain": gain}))
        for name, bias in {"first": 2.0, "second": -0.5}.items():
            method(f"bias-{name}")(type("Bias", (Bias,), {"bias": bias}))
        yield


class Gain(Method):
    """Scales the first two heads."""

    gain = 1.0

    def head_gain(self, at: At, outputs: Tensor) -> Tensor:
        gain = outputs.new_ones(1, at.n_heads)
        gain[:, :2] = self.gain
        return gain


class Bias(Method):
    """Adds to the logits of the image."""

    bias = 0.0

    def attention_bias(self, at: At) -> Tensor:
        return self.bias * at.image_columns[:, None, None].float()


def after(one: Method) -> Tensor:
    return logits_after(model(), one, prompts(model(), *QUESTIONS))


def alone(cls: type[Method], **settings: float) -> Tensor:
    return after(type("Alone", (cls,), settings | {"name": "alone"})(cls.Params()))


@pytest.mark.parametrize("name", ["gain-first+gain-second", "gain-second+gain-first"])
def test_two_gains_multiply(name: str) -> None:
    found = after(prepared(name, model()))
    assert torch.allclose(found, alone(Gain, gain=1.5), atol=1e-4)
    for gain in (3.0, 0.5):
        assert not torch.allclose(found, alone(Gain, gain=gain), atol=1e-2)


@pytest.mark.parametrize("name", ["bias-first+bias-second", "bias-second+bias-first"])
def test_two_biases_add_up(name: str) -> None:
    found = after(prepared(name, model()))
    assert torch.allclose(found, alone(Bias, bias=1.5), atol=1e-4)
    for bias in (2.0, -0.5):
        assert not torch.allclose(found, alone(Bias, bias=bias), atol=1e-2)


class Doubling(Method):
    """Doubles the logits it is given."""

    name = "doubling"

    def next_token_logits(self, at: At, logits: Mapping[str, Tensor]) -> Tensor:
        return 2 * logits["main"]


class Watching(Method):
    """A filter that keeps what it is shown."""

    name = "watching"
    filters = True
    seen: list[Tensor]

    def next_token_logits(self, at: At, logits: Mapping[str, Tensor]) -> Tensor:
        self.seen.append(logits["main"])
        return logits["main"]


@pytest.mark.parametrize("name", ["watching+doubling", "doubling+watching"])
def test_a_filter_sees_what_the_other_part_makes_in_either_order(name: str) -> None:
    method("doubling")(Doubling)
    method("watching")(Watching)
    one = find(name).for_model(model())
    watching = next(part for part in one.methods if isinstance(part, Watching))
    watching.seen = []
    found = answer(model(), one, questions(model(), 0, 1), tokens=1).logits
    stock = answer(model(), prepared("baseline", model()), questions(model(), 0, 1), tokens=1)
    assert torch.allclose(watching.seen[0], 2 * stock.logits, atol=1e-4)
    assert torch.allclose(found, 2 * stock.logits, atol=1e-4)
