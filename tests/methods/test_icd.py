"""ICD: where the instruction stands in a prompt, what a Q-Former reads, the contrast by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from halluc.decoding.batch_encoding import encoded
from halluc.methods.icd import CONFUSED, ICD, disturbed
from halluc.models import VisionLanguageModel
from halluc.testing import batch_of_questions
from tests.kit.asking import answer, prepared, questions
from tests.kit.families import build, llava, picture
from tests.kit.places import combined

WORDS = "please describe no dog"
LEAVES_OUT = "{% if message['role'] != 'system' %}"
RAISES = "{% if message['role'] == 'system' %}{{ raise_exception('no system turn') }}{% endif %}"


def without_system_turn(kind: str) -> VisionLanguageModel:
    """A model whose chat template leaves the system's turn out, or raises where there is one."""
    model = llava()
    before, behind = model.processor.chat_template.split("{% for message in messages %}")
    loop = "{% for message in messages %}"
    if kind == "raises":
        model.processor.chat_template = before + loop + RAISES + behind
    else:
        inner, end = behind.split("{% endfor %}{% endfor %}")
        whole = "{% endfor %}{% endif %}{% endfor %}"
        model.processor.chat_template = before + loop + LEAVES_OUT + inner + whole + end
    return model


def test_defaults() -> None:
    params = ICD.resolve(ICD.Params(), llava())
    assert params.model_dump() == {"alpha": 1.0, "beta": 0.1, "instruction": CONFUSED}
    assert CONFUSED == (
        "You are a confused objects detector to provide a fuzzy overview or impression of the "
        "image."
    )


def test_the_instruction_is_the_systems_turn() -> None:
    model = llava()
    found = disturbed(model, "is there a dog ?", (), WORDS)
    assert found == f"ASSISTANT: {WORDS} USER: <image> is there a dog ? ASSISTANT:"
    told = replace(model, system_prompt="yes yes")  # which it replaces
    assert disturbed(told, "is there a dog ?", (), WORDS) == found


@pytest.mark.parametrize("kind", ["leaves out", "raises"])
def test_without_a_system_turn_it_stands_in_front_of_the_question(kind: str) -> None:
    model = without_system_turn(kind)
    assert disturbed(model, "is there a dog ?", (), WORDS) == (
        f"USER: <image> {WORDS} is there a dog ? ASSISTANT:"
    )
    history = [("is there a cat ?", "no")]
    assert disturbed(model, "a dog ?", history, WORDS) == (
        f"USER: <image> {WORDS} is there a cat ? ASSISTANT: no USER:  a dog ? ASSISTANT:"
    )


def test_a_published_prompt_takes_it_in_front_of_the_question() -> None:
    model = build("blip_2")
    assert model.processor.chat_template is None
    template = model.family.template
    assert template is not None
    assert disturbed(model, "a dog ?", (), WORDS) == template.format(
        image=getattr(model.processor, "image_token", ""), prompt=f"{WORDS} a dog ?"
    )


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl", "idefics2"])
def test_both_streams_see_the_same_image(family: str) -> None:
    model = build(family)
    batch = questions(model, 0, 1)
    inputs = prepared("icd", model, instruction=WORDS).streams(batch, model)["disturbed"]
    ids, given = inputs["input_ids"], batch.inputs["input_ids"]
    image, same = ids == model.image_token, given == model.image_token
    assert torch.equal(image.sum(1), same.sum(1))
    words = model.tokenize([WORDS])[0][1:]
    assert inputs["attention_mask"].sum(1).tolist() == [
        length + len(words) + 1 for length in batch.inputs["attention_mask"].sum(1).tolist()
    ]  # "ASSISTANT:" in front, in this template
    for key in ("pixel_values", "image_grid_thw"):
        assert key not in batch.inputs or torch.equal(inputs[key], batch.inputs[key])


def test_a_q_former_reads_the_instruction_and_the_language_model_does_not() -> None:
    model = build("instructblip")
    batch = questions(model, 0, 1)
    inputs = prepared("icd", model, instruction=WORDS).streams(batch, model)["disturbed"]
    assert torch.equal(inputs["input_ids"], batch.inputs["input_ids"])
    mask = inputs["qformer_attention_mask"].bool()
    for ids, real in zip(inputs["qformer_input_ids"], mask, strict=True):
        read = model.processor.qformer_tokenizer.decode(ids[real], skip_special_tokens=True)
        assert read.split() == WORDS.split()
    batch = questions(model, 1)
    stock = answer(model, prepared("baseline", model), batch)
    found = answer(model, prepared("icd", model, instruction=WORDS), batch)
    assert not torch.allclose(found.logits, stock.logits, atol=1e-3)


def test_the_contrast_by_hand() -> None:
    main, other = torch.tensor([[2.0, 1.0, -0.5]]), torch.tensor([[1.0, 2.0, -4.0]])
    # 2 l - l'; the cut is at 2 + log .1 = -.303 of the undisturbed logits
    found = combined(ICD(ICD.Params()), main=main, disturbed=other)
    assert found.tolist() == [[3.0, 0.0, float("-inf")]]


def test_a_conversation_keeps_its_turns() -> None:
    model = llava()
    history: Any = ((("is there a cat ?", "no"),),)
    batch = batch_of_questions(["a dog ?"], [picture(0)])
    batch = encoded(model, replace(batch, histories=history))
    inputs = prepared("icd", model, instruction=WORDS).streams(batch, model)["disturbed"]
    text = model.processor.tokenizer.decode(inputs["input_ids"][0], skip_special_tokens=True)
    expected = f"ASSISTANT: {WORDS} USER: is there a cat ? ASSISTANT: no USER: a dog ? ASSISTANT:"
    assert text.split() == expected.split()
