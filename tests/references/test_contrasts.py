"""Methods that contrast two streams next to plain loops: tokens, and the logits of each step."""

from __future__ import annotations

from typing import Any

import pytest
from torch import Tensor

from halluc.interventions import Batch
from halluc.methods.ritual import drawn
from halluc.models import VisionLanguageModel
from tests.references.code import PROMPT, code
from tests.references.compare import FAMILIES, TOKENS, Reference, equal, tiny
from tests.references.icd import INSTRUCTION, icd
from tests.references.m3id import m3id
from tests.references.nolan import nolan
from tests.references.ritual import ritual

IMAGES = {"llava": "<image>", "qwen2_5_vl": "<|vision_start|><|image_pad|><|vision_end|>"}
"""What stands for the image in a tiny model's prompt."""


def blind_of(model: VisionLanguageModel, batch: Batch) -> dict[str, Any]:
    """A prompt without its image, made without the harness: the image's tokens are taken out."""
    inputs = {name: batch.inputs[name] for name in ("input_ids", "attention_mask")}
    text = inputs["input_ids"][0] != model.image_token
    blind: dict[str, Tensor] = {name: value[:, text] for name, value in inputs.items()}
    return blind


def by_m3id(model: VisionLanguageModel, batch: Batch, **params: Any) -> tuple[list[int], Tensor]:
    blind = blind_of(model, batch)
    return m3id(model.model, batch.inputs, blind=blind, n_tokens=TOKENS, **params)


def by_nolan(model: VisionLanguageModel, batch: Batch, **params: Any) -> tuple[list[int], Tensor]:
    blind = blind_of(model, batch)
    return nolan(model.model, batch.inputs, blind=blind, n_tokens=TOKENS, **params)


def by_ritual(
    model: VisionLanguageModel,
    batch: Batch,
    variant: str = "paper",
    transform: Any = None,
    **params: Any,
) -> tuple[list[int], Tensor]:
    seeds = batch.image_seeds if variant == "paper" else batch.seeds
    image = drawn(batch.images[0], seeds[0], transform)
    other = model.processor(text=list(batch.rendered), images=[[image]], return_tensors="pt")
    return ritual(model.model, batch.inputs, transformed=other, n_tokens=TOKENS, **params)


def by_code(
    model: VisionLanguageModel, batch: Batch, max_new_tokens: int = 128, **params: Any
) -> tuple[list[int], Tensor]:
    words = model.processor.tokenizer
    asks = f"USER: {IMAGES[model.model.config.model_type]} {PROMPT} ASSISTANT:"
    describing = model.processor(text=[asks], images=[list(batch.images)], return_tensors="pt")

    def without_image(said: list[int]) -> Any:
        text = words.decode(said, skip_special_tokens=True)
        marks = IMAGES[model.model.config.model_type].replace("<image>", text)
        marks = marks.replace("<|image_pad|>", f" {text} ")
        prompt = f"USER: {marks} {batch.prompts[0]} ASSISTANT:"
        return {**words([prompt], return_tensors="pt")}

    return code(
        model.model,
        batch.inputs,
        describing=describing,
        without_image=without_image,
        n_tokens=TOKENS,
        n_described=max_new_tokens,
        **params,
    )


def by_icd(
    model: VisionLanguageModel, batch: Batch, instruction: str = INSTRUCTION, **params: Any
) -> tuple[list[int], Tensor]:
    # As the tiny models' chat template writes a system's turn.
    image = IMAGES[model.model.config.model_type]
    text = f"ASSISTANT: {instruction} USER: {image} {batch.prompts[0]} ASSISTANT:"
    disturbed = model.processor(text=[text], images=[list(batch.images)], return_tensors="pt")
    return icd(model.model, batch.inputs, disturbed=disturbed, n_tokens=TOKENS, **params)


CASES: list[tuple[str, Reference, dict[str, Any]]] = [
    ("m3id", by_m3id, {}),
    ("m3id", by_m3id, {"decay": 0.2, "beta": 0.01}),
    ("m3id", by_m3id, {"decay": 0.2, "gate": 0.3}),
    ("icd", by_icd, {}),
    ("icd", by_icd, {"alpha": 3.0, "instruction": "please describe no dog", "beta": 0.01}),
    ("nolan", by_nolan, {}),
    ("nolan", by_nolan, {"variant": "official_code", "alpha": 3.0}),
    ("nolan", by_nolan, {"alpha": 1.0, "dynamic": False, "beta": 0.2}),
    ("ritual", by_ritual, {}),
    ("ritual", by_ritual, {"variant": "official_code", "alpha": 1.0, "beta": 0.5}),
    ("ritual", by_ritual, {"transform": "vertical_flip", "beta": 0.01}),
    ("code", by_code, {}),
    ("code", by_code, {"power": 3.0, "alpha": 3.0, "max_new_tokens": 9}),
    ("code", by_code, {"power": 0.1, "beta": 0.5, "max_new_tokens": 30}),
]


@FAMILIES
@pytest.mark.parametrize(("name", "reference", "params"), CASES)
def test_tokens_and_logits_equal_the_reference(
    name: str,
    reference: Reference,
    params: dict[str, Any],
    family: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    equal(tiny(family), name, reference, params, monkeypatch)
