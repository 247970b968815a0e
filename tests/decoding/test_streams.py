"""Streams share their tokens and nothing else; thinned-out images shrink their placeholders."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from halluc.config import DecodingConfig
from halluc.decoding.generation import generate
from halluc.interventions import At, Method
from halluc.interventions.context import TowerLayer
from halluc.models import VisionLanguageModel
from tests.kit.asking import questions, thinned
from tests.kit.families import llava
from tests.kit.twins import Blind, Twin


class Half(Method):
    """Keeps every other patch behind the first vision layer."""

    name = "half"
    step = 2

    def image_tokens(self, at: At, hidden: Tensor) -> Tensor:
        if at.layer:
            return hidden
        patches = hidden[:, 1 :: self.step]
        kept = torch.arange(0, hidden.shape[1] - 1, self.step, device=hidden.device)
        at.tower.state["kept"] = kept.expand(len(hidden), -1)
        return torch.cat([hidden[:, :1], patches], 1)


class Whole(Half):
    """Keeps all of them, by the same way."""

    name = "whole"
    step = 1


def tokens(model: VisionLanguageModel, cls: type[Method], decoding: DecodingConfig) -> Tensor:
    batch = questions(model, 0, 1)
    return generate(model, cls(cls.Params()), batch, decoding, max_new_tokens=6).tokens


@pytest.mark.parametrize("cls", [Twin, Whole])
@pytest.mark.parametrize(
    "decoding",
    [DecodingConfig(), DecodingConfig(num_beams=3), DecodingConfig(do_sample=True, seed=5)],
)
def test_twins_answer_as_one(cls: type[Method], decoding: DecodingConfig) -> None:
    model = llava()
    assert torch.equal(tokens(model, cls, decoding), tokens(model, Method, decoding))


def test_each_stream_reads_its_own_prompt_and_cache() -> None:
    model = llava()
    made = tokens(model, Blind, DecodingConfig())
    for row in range(2):
        seen = dict(questions(model, row).inputs)
        unseen = model.without_image(seen)
        written: list[int] = []
        for _ in range(made.shape[1]):
            ends = torch.tensor([written], dtype=torch.long)
            logits = []
            for inputs in (seen, unseen):
                ids = torch.cat([inputs["input_ids"], ends], 1)
                grown = inputs | {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
                with torch.inference_mode():
                    logits.append(model.model(**grown, use_cache=False).logits[0, -1])
            written.append(int((2 * logits[0] - logits[1]).argmax()))
            if written[-1] == model.processor.tokenizer.eos_token_id:
                break
        assert made[row, : len(written)].tolist() == written


def test_half_the_patches_make_half_the_tokens() -> None:
    model = llava()
    seen: list[int] = []

    class Spy(Half):
        def attention_logits(self, at: At, logits: Tensor) -> Tensor:
            seen.extend(at.image_columns.sum(1).tolist())
            return logits

    tokens(model, Spy, DecodingConfig())
    assert set(seen) == {8}


class AtTheFeatures(Half):
    """Keeps every other patch of the very output the language model reads."""

    name = "at-the-features"

    def image_tokens(self, at: At, hidden: Tensor) -> Tensor:
        if at.layer != at.tower.features:
            return hidden
        patches = torch.arange(0, hidden.shape[1] - 1, 2, device=hidden.device)
        return at.tower.keep(hidden, patches.expand(len(hidden), -1))


def test_thinning_at_the_features_holds_for_every_image() -> None:
    # transformers records hidden states by hooks of its own, which stay from the first image on.
    model = llava()
    inputs = questions(model, 0, 1).inputs
    with torch.inference_mode():
        whole = model.encode_images(inputs).pooler_output
    shrunk = thinned(model, AtTheFeatures(Method.Params()), inputs)
    for features, all_of_them in zip(
        shrunk["mm_encoder_outputs"]["image"].pooler_output, whole, strict=True
    ):
        assert torch.allclose(features, all_of_them[::2], atol=1e-5)


def test_keeping_twice_numbers_the_original_patches() -> None:
    state: dict[str, Any] = {}
    layer = TowerLayer(0, torch.empty(0), torch.empty(0), state)
    hidden = torch.arange(7.0).view(1, 7, 1)
    once = layer.keep(hidden, torch.tensor([[0, 2, 3, 5]]))
    assert once.flatten().tolist() == [0, 1, 3, 4, 6]
    assert layer.keep(once, torch.tensor([[1, 3]])).flatten().tolist() == [0, 3, 6]
    assert state["kept"].tolist() == [[2, 5]]
