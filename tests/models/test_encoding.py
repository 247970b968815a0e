"""Prompts become the tokens transformers itself makes of them; what cannot be asked is refused."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch

from halluc.config import DecodingConfig
from halluc.decoding.answering import answer_samples
from halluc.decoding.batch_encoding import encode_once, encoded
from halluc.errors import UserError
from halluc.interventions import Method, MethodParams
from halluc.models import VisionLanguageModel
from halluc.models.load import SYSTEM_PROMPTS
from halluc.testing import batch_of_questions
from halluc.types import Sample
from tests.kit.families import FAMILIES, build, picture

QUESTION = "is there a dog ?"
CHATTING = [name for name in FAMILIES if getattr(build(name).processor, "chat_template", None)]


def with_bos(name: str) -> VisionLanguageModel:
    """Build a model whose chat template writes BOS itself, as Gemma 3's does."""
    model = build(name)
    model.processor.chat_template = "{{ bos_token }}" + str(model.processor.chat_template)
    return model


def by_transformers(model: VisionLanguageModel, question: str, image: Any) -> list[int]:
    """Tokenize a question by the processor's own `apply_chat_template`."""
    content = [{"type": "image", "image": image}, {"type": "text", "text": question}]
    found = model.processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=True,
        return_dict=True, return_tensors="pt",
    )  # fmt: skip
    ids: list[int] = found["input_ids"][0].tolist()
    return ids


@pytest.mark.parametrize("writes_bos", [False, True])
@pytest.mark.parametrize("family", CHATTING)
def test_tokens_are_those_of_apply_chat_template(family: str, writes_bos: bool) -> None:
    model = with_bos(family) if writes_bos else build(family)
    image = picture(0)
    ours = model.encode([model.render(QUESTION)], [image])["input_ids"][0].tolist()
    assert ours == by_transformers(model, QUESTION, image)
    start = model.processor.tokenizer.bos_token_id
    assert not writes_bos or (ours[0] == start and ours.count(start) == 1)


@pytest.mark.parametrize("family", ["llava", "gemma3", "qwen2_5_vl"])
def test_prompts_about_one_image_get_no_second_bos_either(family: str) -> None:
    model, image = with_bos(family), picture(0)
    rendered = [model.render(QUESTION), model.render("describe this image please")]
    once = encode_once(model, rendered, [image, image])
    whole = model.encode(rendered, [image, image])
    assert torch.equal(once["input_ids"], whole["input_ids"])


def test_a_system_prompt_stands_first() -> None:
    model = build("llava")
    model.processor.chat_template = (
        "{% for m in messages %}{% if m['role'] == 'system' %}{{ m['content'][0]['text'] }} "
        "{% else %}USER: <image> {{ m['content'][-1]['text'] }} {% endif %}{% endfor %}ASSISTANT:"
    )
    asked = VisionLanguageModel("m", model.model, model.processor, system_prompt="please describe")
    assert asked.render(QUESTION) == f"please describe USER: <image> {QUESTION} ASSISTANT:"
    assert "curious human" in SYSTEM_PROMPTS["vicuna"]


def test_a_template_that_leaves_the_system_prompt_out_is_refused() -> None:
    model = build("llava")
    model.processor.chat_template = "USER: <image> {{ messages[-1]['content'][-1]['text'] }}"
    asked = VisionLanguageModel("m", model.model, model.processor, system_prompt="please describe")
    with pytest.raises(UserError, match="leaves the system prompt out"):
        asked.render(QUESTION)


def test_a_prompt_that_holds_the_image_token_fails_alone() -> None:
    model = build("llava")
    samples = [
        Sample(str(number), str(number), text, partial(picture, number))
        for number, text in enumerate([QUESTION, "what is <image> ?"])
    ]
    plain = Method(MethodParams())
    good, bad = sorted(answer_samples(model, plain, samples, DecodingConfig()), key=lambda a: a.id)
    assert good.status == "ok"
    assert bad.error == (
        "ValueError: the prompt holds '<image>', which stands for an image in this model"
    )


def test_a_prompt_longer_than_the_models_positions_is_refused() -> None:
    model = build("llava")
    limit = model.model.config.get_text_config().max_position_embeddings
    batch = batch_of_questions([" ".join(["dog"] * limit)], [picture(0)])
    with pytest.raises(ValueError, match=rf"has \d+ tokens, the model {limit} positions"):
        encoded(model, batch)
