"""CODE: divergence, strength and cut by hand; what is asked, and where the description stands."""

from __future__ import annotations

from dataclasses import replace
from math import log
from typing import Any

import pytest
import torch
from torch import Tensor

from halluc.config import DecodingConfig
from halluc.decoding.asking_again import AskingAgain
from halluc.decoding.batch_encoding import encoded
from halluc.decoding.generation import generate
from halluc.interventions import Batch
from halluc.methods.code import CODE, PROMPT, bounded_divergence, described
from halluc.models import VisionLanguageModel, load_model
from halluc.models.names import DESCRIBE
from halluc.testing import batch_of_questions
from tests.kit.asking import prepared, questions
from tests.kit.families import build, llava, picture
from tests.kit.places import combined

INF = float("inf")
P, Q = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.9, 0.1]]).log()


@pytest.mark.parametrize(("power", "apart"), [(1.0, 0.4854), (2.0, 0.2141), (0.7, 0.6103)])
def test_the_divergence_by_hand(power: float, apart: float) -> None:
    # Both differences are .4: log2(1.4) = .4854, log2(1.16) = .2141, and .4^.7 = .5265,
    # log2(1.5265) = .6103; half the sum of p + p' is 1.
    assert float(bounded_divergence(P, Q, power)) == pytest.approx(apart, abs=5e-5)
    assert float(bounded_divergence(Q + 4, P - 1, power)) == pytest.approx(apart, abs=5e-5)


def test_each_difference_is_weighed_by_the_chances() -> None:
    p, q = torch.tensor([[0.5, 0.3, 0.2]]).log(), torch.tensor([[0.1, 0.3, 0.6]]).log()
    # (.6 log2(1.4) + .6 * 0 + .8 log2(1.4)) / 2 = .7 * .4854
    assert float(bounded_divergence(p, q, 1.0)) == pytest.approx(0.33980, abs=5e-5)


def test_the_divergence_lies_between_0_and_1() -> None:
    assert float(bounded_divergence(P, P, 0.7)) == 0
    one, other = torch.tensor([[0.0, -90.0]]), torch.tensor([[-90.0, 0.0]])
    assert float(bounded_divergence(one, other, 0.7)) == pytest.approx(1)
    rows = bounded_divergence(torch.cat([P, one]), torch.cat([P, other]), 0.7)
    assert rows.shape == (2, 1) and float(rows[0]) == 0


def code(main: Tensor, other: Tensor, **params: Any) -> list[float]:
    row = combined(CODE(CODE.Params(**params)), main=main, described=other)[0]
    return [float(value) for value in row]


def test_the_contrast_by_hand() -> None:
    # D = .4854, so l + .5146 (l - l'): log .5 + .5146 log(.5 / .9), log .5 + .5146 log(.5 / .1)
    expected = [log(0.5) + 0.51457 * log(0.5 / 0.9), log(0.5) + 0.51457 * log(5)]
    assert code(P, Q, power=1.0) == pytest.approx(expected, abs=1e-4)
    half = [log(0.5) + 0.257285 * log(0.5 / 0.9), log(0.5) + 0.257285 * log(5)]
    assert code(P, Q, power=1.0, alpha=0.5) == pytest.approx(half, abs=1e-4)


def test_tokens_are_cut_by_the_divergence() -> None:
    main = torch.tensor([[0.5, 0.3, 0.2]]).log()
    apart = torch.tensor([[0.1, 0.3, 0.6]]).log()
    # power 1: D = .3398, the cut at .3398 * .5 = .170; nothing goes
    assert min(code(main, apart, power=1.0)) > -INF
    # power .1: .4^.1 = .9124, log2(1.9124) = .9354, D = .7 * .9354 = .6548, cut at .327: .3 goes
    kept = [value > -INF for value in code(main, apart, power=0.1)]
    assert kept == [True, False, False]
    # half of that, .164
    assert min(code(main, apart, power=0.1, beta=0.5)) > -INF
    assert min(code(main, main, power=0.1)) > -INF  # both agree: nothing is cut


def test_defaults() -> None:
    params = CODE.resolve(CODE.Params(), llava(max_position_embeddings=4096))
    assert params.model_dump() == {
        "alpha": 1.0, "beta": 1.0, "power": 0.7, "max_new_tokens": 512, "prompt": PROMPT,
    }  # fmt: skip
    assert CODE.resolve(CODE.Params(), llava(max_position_embeddings=512)).max_new_tokens == 128
    assert CODE.resolve(CODE.Params(max_new_tokens=9), llava()).max_new_tokens == 9


class Describing:
    """Describes images in words that are given, and keeps what it was asked."""

    def __init__(self, *replies: str) -> None:
        self.replies = replies
        self.asked: list[tuple[list[tuple[int, str]], int]] = []

    def __call__(self, asked: Any, max_new_tokens: int = 16, temperature: Any = None) -> list[str]:
        assert temperature is None
        self.asked.append((list(asked), max_new_tokens))
        return list(self.replies[: len(asked)])


def decoded(model: VisionLanguageModel, inputs: Any) -> list[str]:
    rows = zip(inputs["input_ids"], inputs["attention_mask"].bool(), strict=True)
    return [model.processor.tokenizer.decode(ids[real]) for ids, real in rows]


def test_each_image_is_described_once() -> None:
    model = llava()
    texts = ["is there a dog ?", "is there a cat in the image ?", "a dog ?"]
    images = [picture(0), picture(1), picture(0)]
    batch = encoded(model, batch_of_questions(texts, images))
    ask: Any = Describing("a dog", "no cat there")
    method = prepared("code", model, max_new_tokens=7, prompt="describe this")
    inputs = method.streams(replace(batch, ask=ask), model)["described"]
    assert ask.asked == [([(0, "describe this"), (1, "describe this")], 7)]
    assert [text.split() for text in decoded(model, inputs)] == [
        f"<s> USER: {said} {asked} ASSISTANT:".split()
        for said, asked in zip(["a dog", "no cat there", "a dog"], texts, strict=True)
    ]
    assert "pixel_values" not in inputs


@pytest.mark.parametrize(
    ("family", "around"),
    [
        ("qwen2_5_vl", "<s> USER: <|vision_start|> {} <|vision_end|> a dog ? ASSISTANT:"),
        ("mllama", "<s> <s> USER: {} a dog ? ASSISTANT:"),
    ],
)
def test_the_description_stands_where_the_image_stood(family: str, around: str) -> None:
    model = build(family)
    batch = encoded(model, batch_of_questions(["a dog ?", "dog ?"], [picture(0), picture(1)]))
    inputs = described(model, batch.inputs, ["yes there is", "no"])
    assert decoded(model, inputs)[0].split() == around.format("yes there is").split()
    assert not (inputs["input_ids"] == model.image_token).any()
    for key in ("mm_token_type_ids", "cross_attention_mask"):
        if key in batch.inputs:
            assert inputs[key].shape[:2] == inputs["input_ids"].shape
            assert not inputs[key].any()  # text, which sees no image
    assert {"input_ids", "attention_mask"} <= set(inputs)


def test_an_empty_description_leaves_the_question_alone() -> None:
    model = llava()
    batch = questions(model, 0, 1)
    inputs = described(model, batch.inputs, ["", ""])
    plain = model.without_image(batch.inputs)
    assert all(torch.equal(inputs[key], plain[key]) for key in plain)


def test_words_of_an_image_token_stand_for_no_image() -> None:
    model = llava()
    batch = questions(model, 0)
    inputs = described(model, batch.inputs, ["a <image> dog"])
    assert not (inputs["input_ids"] == model.image_token).any()


def test_passes_of_the_description_are_counted() -> None:
    model = llava()
    batch: Batch = questions(model, 0, 1)
    ask = AskingAgain(model, batch)
    method = prepared("code", model, max_new_tokens=5)
    made = generate(model, method, replace(batch, ask=ask), DecodingConfig(), max_new_tokens=3)
    assert ask.passes == [5.0, 5.0] and made.passes == [6.0, 6.0]


def test_models_are_asked_in_words_they_understand() -> None:
    assert CODE.for_model(llava()).params.prompt == PROMPT
    assert CODE.for_model(load_model("glyph")).params.prompt == DESCRIBE
    assert CODE.for_model(load_model("glyph"), {"prompt": "Say."}).params.prompt == "Say."
