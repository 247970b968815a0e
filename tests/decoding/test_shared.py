"""What prompts about one image begin with is read once, and no answer changes by it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from halluc.config import DecodingConfig
from halluc.decoding.batch_encoding import encoded
from halluc.decoding.generation import generate
from halluc.interventions import Batch, Method
from halluc.interventions.attention_math import products, times_values
from halluc.interventions.shared_prefix import Memo, Prefix
from halluc.models import VisionLanguageModel
from halluc.testing import FirstLogits, batch_of_questions
from tests.kit.asking import BATCHED, able_to_ask, prepared
from tests.kit.families import llava, picture

QUESTIONS = (
    "is there a dog ?",
    "please describe this image",
    "is there a car in the image ?",
    "how many red dogs are there in this image ?",
    "is there a cat ?",
)
IMAGES = (0, 1, 0, 0, 1)

CASES: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in BATCHED),
    ("var", {"rows": "all", "tau": 1.5, "min_image_mass": 0.01}),
    ("var", {"tau": 1.5, "min_image_mass": 0.01}),
    ("paint", {"variant": "official_code"}),
    ("adaptvis", {"weight": 0.5}),
    ("zerotuning", {"gamma": 3.0, "heads": {"0": [1], "2": [0, 3]}}),
    ("var+paint", {"var": {"tau": 1.5, "min_image_mass": 0.01}}),
    ("flowcut+zerotuning", {}),
    ("vmtc+agla", {}),
    ("cmai+vhr", {}),
]


def five_questions(model: VisionLanguageModel) -> Batch:
    images = [picture(number) for number in IMAGES]
    ids = [f"{row}-{number}" for row, number in enumerate(IMAGES)]
    return able_to_ask(model, encoded(model, batch_of_questions(QUESTIONS, images, ids)))


def first_logits(
    model: VisionLanguageModel, method: Method, batch: Batch, **how: Any
) -> tuple[Tensor, Tensor]:
    """The first token's logits [rows, V], and six tokens."""
    first = FirstLogits()
    decoding = DecodingConfig(num_beams=how.pop("beams", 1))
    made = generate(model, method, batch, decoding, max_new_tokens=6, watch=[first], **how)
    assert first.logits is not None
    return first.logits, made.tokens


def measured(
    model: VisionLanguageModel, method: Method, share: bool, beams: int
) -> tuple[Tensor, Tensor, int]:
    """The first logits, the tokens, and the most tokens the decoder read in one pass.

    Passes of a method's own, which are kept in no cache, do not count.
    """
    widest = 0

    def measure(_: Any, args: Any, kwargs: Any) -> None:
        nonlocal widest
        if kwargs["past_key_values"] is not None:
            widest = max(widest, kwargs["inputs_embeds"].shape[:2].numel())

    handle = model.decoder.register_forward_pre_hook(measure, with_kwargs=True)
    try:
        found = first_logits(model, method, five_questions(model), share=share, beams=beams)
    finally:
        handle.remove()
    return *found, widest


@pytest.fixture(scope="module")
def model() -> VisionLanguageModel:
    return llava()


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize(("name", "params"), CASES)
def test_sharing_changes_no_answer(
    name: str, params: dict[str, Any], beams: int, model: VisionLanguageModel
) -> None:
    method = prepared(name, model, **params)
    logits, tokens, widest = measured(model, method, True, beams)
    again = prepared(name, model, **params)
    plain, plain_tokens, plain_widest = measured(model, again, False, beams)
    near = plain.isfinite()
    assert torch.equal(near, logits.isfinite())
    assert torch.allclose(logits[near], plain[near], atol=1e-3)
    assert torch.equal(tokens, plain_tokens)
    reads = "prepare" in set(method.declared()) - set(method.resting)  # whole prompts, on its own
    assert (widest < plain_widest) == (method.prefix_depends_on != "question" and not reads)


@pytest.mark.parametrize(
    ("name", "beams", "copied"),
    [("baseline", 1, True), ("baseline", 3, False), ("opera", 1, False)],
)
def test_rows_of_one_prompt_hold_no_copies_of_its_image(
    name: str, beams: int, copied: bool, model: VisionLanguageModel
) -> None:
    batch = encoded(model, batch_of_questions(QUESTIONS[:1], [picture(0)], ["0"]))
    held: list[int] = []

    def measure(_: Any, args: Any, kwargs: Any, found: Any) -> None:
        if kwargs["past_key_values"] is not None:
            held.append(kwargs["past_key_values"].layers[0].keys.shape[2])

    _, plain = first_logits(model, prepared(name, model), batch, share=False, beams=beams)
    handle = model.decoder.register_forward_hook(measure, with_kwargs=True)
    try:
        _, tokens = first_logits(model, prepared(name, model), batch, beams=beams)
    finally:
        handle.remove()
    assert torch.equal(tokens, plain)
    assert (max(held) > batch.inputs["input_ids"].shape[1]) == copied


def test_points_of_a_sweep_share_what_they_read(model: VisionLanguageModel) -> None:
    settings = {"tau": 1.5, "min_image_mass": 0.01}
    points = [
        ("baseline", {}), ("cmai", {}), ("var", settings), ("var", settings | {"keep": 0.9}),
        ("var", settings | {"tau": 1.0}), ("paint", {}), ("paint", {"alpha": 0.1}),
        ("zerotuning", {}), ("zerotuning", {"gamma": 2.0}),
    ]  # fmt: skip
    memo, read = Memo(), []
    for name, params in points:
        method = prepared(name, model, **params)
        before = memo._kept
        alone, _ = first_logits(model, method, five_questions(model))
        both, _ = first_logits(model, method, five_questions(model), memo=memo)
        assert torch.equal(alone, both)
        read.append(memo._kept is not before)
    assert read == [True, False, True, False, True, True, False, True, True]


def test_images_that_differ_are_not_taken_for_one(model: VisionLanguageModel) -> None:
    batch = five_questions(model)
    batch.inputs["pixel_values"][2] += 0.5  # the third question's copy of the first image
    baseline = prepared("baseline", model)
    shared, plain = (first_logits(model, baseline, batch, share=on)[0] for on in (True, False))
    assert torch.allclose(shared, plain, atol=1e-3)


@pytest.mark.parametrize("owner", [[0, 0, 1, 1], [0, 1, 1, 1], [1, 0, 2, 0]])
def test_products_are_those_of_copied_keys(owner: list[int]) -> None:
    torch.manual_seed(0)
    keys, values = torch.randn(3, 2, 7, 5), torch.randn(3, 2, 7, 5)
    query, own = torch.randn(4, 6, 3, 5), torch.tensor(owner)
    prefix = Prefix([keys[: own.max() + 1]], [values[: own.max() + 1]], own)
    found = prefix.products(0, query)
    assert torch.allclose(found, products(query, keys[own]), atol=1e-5)
    assert torch.allclose(
        prefix.times_values(0, found), times_values(found, values[own]), atol=1e-4
    )
