"""What prompts about one image begin with is read once, and no answer changes by it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from halluc.config import DecodingConfig
from halluc.decoding.generation import generate
from halluc.interventions import REGISTRY, Asked, Method
from halluc.interventions.attention_math import products, times_values
from halluc.interventions.compose import find
from halluc.interventions.shared_prefix import Memo, Prefix
from halluc.models import VisionLanguageModel
from tests.kit.families import llava, picture
from tests.methods.test_promises import First

QUESTIONS = (
    "is there a dog ?",
    "please describe this image",
    "is there a car in the image ?",
    "how many red dogs are there in this image ?",
    "is there a cat ?",
)
IMAGES = (0, 1, 0, 0, 1)

CASES: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in REGISTRY.names()),
    ("var", {"rows": "all", "tau": 1.5, "min_image_mass": 0.01}),
    ("var", {"tau": 1.5, "min_image_mass": 0.01}),
    ("paint", {"variant": "official_code"}),
    ("zerotuning", {"gamma": 3.0, "heads": {"0": [1], "2": [0, 3]}}),
    ("var+paint", {"var": {"tau": 1.5, "min_image_mass": 0.01}}),
    ("flowcut+zerotuning", {}),
    ("vmtc+agla", {}),
    ("cmai+vhr", {}),
]


def asked(model: VisionLanguageModel) -> Asked:
    images = [picture(number) for number in IMAGES]
    rendered = [model.render(question) for question in QUESTIONS]
    return Asked(QUESTIONS, rendered, images, model.encode(rendered, images))


def build(name: str, params: dict[str, Any], model: VisionLanguageModel) -> Method:
    cls = find(name)
    return cls(cls.resolve(cls.Params(**params), model))


def answer(
    model: VisionLanguageModel, method: Method, share: bool, beams: int
) -> tuple[Tensor, Tensor, int]:
    """Scores of the first token, the tokens, and the most tokens the decoder read in one pass."""
    first, widest = First(), [0]

    def measure(_: Any, args: Any, kwargs: Any) -> None:
        widest[0] = max(widest[0], kwargs["inputs_embeds"].shape[:2].numel())

    handle = model.decoder.register_forward_pre_hook(measure, with_kwargs=True)
    try:
        made = generate(
            model, method, asked(model), DecodingConfig(num_beams=beams), max_new_tokens=6,
            sample_ids=[str(number) for number in IMAGES], watch=[first], share=share,
        )  # fmt: skip
    finally:
        handle.remove()
    assert first.scores is not None
    return first.scores, made.tokens, widest[0]


@pytest.fixture(scope="module")
def model() -> VisionLanguageModel:
    return llava()


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize(("name", "params"), CASES)
def test_sharing_changes_no_answer(
    name: str, params: dict[str, Any], beams: int, model: VisionLanguageModel
) -> None:
    method = build(name, params, model)
    scores, tokens, widest = answer(model, method, True, beams)
    plain, plain_tokens, plain_widest = answer(model, build(name, params, model), False, beams)
    near = plain.isfinite()
    assert torch.equal(near, scores.isfinite())
    assert torch.allclose(scores[near], plain[near], atol=1e-3)
    assert torch.equal(tokens, plain_tokens)
    assert (widest < plain_widest) == (method.prefix_depends_on != "question")


def test_points_of_a_sweep_share_what_they_read(model: VisionLanguageModel) -> None:
    settings = {"tau": 1.5, "min_image_mass": 0.01}
    points = [
        ("baseline", {}), ("cmai", {}), ("var", settings), ("var", settings | {"keep": 0.9}),
        ("var", settings | {"tau": 1.0}), ("paint", {}), ("paint", {"alpha": 0.1}),
        ("zerotuning", {}), ("zerotuning", {"gamma": 2.0}),
    ]  # fmt: skip
    memo, decoding, read = Memo(), DecodingConfig(), []
    for name, params in points:
        method = build(name, params, model)
        before = memo._kept
        alone, both = (
            generate(
                model, method, asked(model), decoding, max_new_tokens=6,
                sample_ids=["a"] * 5, watch=[first], memo=remembered,
            ) and first.scores
            for remembered in (None, memo)
            for first in [First()]
        )  # fmt: skip
        assert torch.equal(alone, both)
        read.append(memo._kept is not before)
    assert read == [True, False, True, False, True, True, False, True, True]


def test_images_that_differ_are_not_taken_for_one(model: VisionLanguageModel) -> None:
    what = asked(model)
    what.inputs["pixel_values"][2] += 0.5  # the third question's copy of the first image
    made = [
        generate(
            model, build("baseline", {}, model), what, DecodingConfig(), max_new_tokens=6,
            sample_ids=["a"] * 5, watch=[first], share=share,
        ) and first.scores
        for share in (True, False)
        for first in [First()]
    ]  # fmt: skip
    assert torch.allclose(made[0], made[1], atol=1e-3)


@pytest.mark.parametrize("owner", [[0, 0, 1, 1], [0, 1, 1, 1], [1, 0, 2, 0]])
def test_products_are_those_of_copied_keys(owner: list[int]) -> None:
    torch.manual_seed(0)
    keys, values = torch.randn(3, 2, 7, 5), torch.randn(3, 2, 7, 5)
    query, own = torch.randn(4, 6, 3, 5), torch.tensor(owner)
    prefix = Prefix([keys[: own.max() + 1]], [values[: own.max() + 1]], own)
    scores = prefix.scores(0, query)
    assert torch.allclose(scores, products(query, keys[own]), atol=1e-5)
    assert torch.allclose(
        prefix.times_values(0, scores), times_values(scores, values[own]), atol=1e-4
    )
