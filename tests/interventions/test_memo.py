"""What was read for one image is never handed to a question about another."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from halluc.config import DecodingConfig
from halluc.decoding.batch_encoding import encoded
from halluc.decoding.generation import generate
from halluc.interventions import Batch
from halluc.interventions.shared_prefix import KeptPrefix, Memo, Prefix
from halluc.models import VisionLanguageModel
from halluc.testing import FirstLogits, batch_of_questions
from tests.kit.asking import QUESTIONS, prepared
from tests.kit.families import llava, picture


@cache
def model() -> VisionLanguageModel:
    return llava()


def reading(image: float = 0.0, **more: Any) -> dict[str, Any]:
    """Model inputs of a prefix; the ids are the same for every image."""
    return {
        "input_ids": torch.tensor([[1, 5, 5]]),
        "pixel_values": torch.full((1, 4), image),
    } | more


def memo() -> tuple[Memo, Prefix]:
    """A memo of one prefix, read for the image 0 by the key "var"."""
    made, prefix = Memo(), Prefix([], [], torch.zeros(1))
    made.prefix("var", reading(), lambda: KeptPrefix(prefix, {0: [torch.ones(1)]}))
    return made, prefix


def again() -> KeptPrefix:
    """What must not be called: the prefix is known."""
    raise AssertionError("read again")


def test_equal_inputs_find_what_was_read() -> None:
    made, prefix = memo()
    found = made.prefix("var", reading(), again)
    assert found.prefix is prefix and list(found.attention) == [0]


@pytest.mark.parametrize(
    ("key", "inputs"),
    [
        ("var", reading(image=1.0)),
        ("var", reading(input_ids=torch.tensor([[1, 5, 6]]))),
        ("var", reading(image_sizes=torch.ones(1, 2))),
        ("vhr", reading()),
    ],
    ids=["another image", "other ids", "more inputs", "another key"],
)
def test_equal_ids_alone_find_nothing(key: str, inputs: dict[str, Any]) -> None:
    other = KeptPrefix(Prefix([], [], torch.ones(1)), {})
    assert memo()[0].prefix(key, inputs, lambda: other).prefix is other.prefix


def test_what_is_found_cannot_change_what_is_kept() -> None:
    made, kept = Memo(), KeptPrefix(Prefix([], [], torch.zeros(1)), {0: [torch.ones(1)]})
    for read in (lambda: kept, again):
        made.prefix("var", reading(), read).attention.clear()
    assert list(made.prefix("var", reading(), again).attention) == [0]


def about(number: int) -> Batch:
    """Both questions about one picture."""
    images = [picture(number)] * 2
    return encoded(model(), batch_of_questions(QUESTIONS, images, ["0", "1"]))


def first_logits(name: str, batch: Batch, memo: Memo | None = None, **params: Any) -> Tensor:
    first, one = FirstLogits(), prepared(name, model(), **params)
    generate(model(), one, batch, DecodingConfig(), max_new_tokens=2, watch=[first], memo=memo)
    assert first.logits is not None
    return first.logits


def test_a_sweeps_second_point_is_not_given_another_images_keys() -> None:
    shared = Memo()
    one = first_logits("baseline", about(0), shared)
    other = first_logits("baseline", about(1), shared)
    assert torch.equal(other, first_logits("baseline", about(1)))
    assert not torch.allclose(one, other, atol=1e-3)


def test_points_that_edit_image_rows_otherwise_are_read_anew() -> None:
    settings: dict[str, Any] = {
        "rows": "all", "tau": 1.5, "min_image_mass": 0.01, "variant": "official_code",
    }  # fmt: skip
    shared, found = Memo(), []
    for params in (settings, settings | {"keep": 0.0}, settings | {"rho": 1.0, "keep": 0.0}):
        found.append(first_logits("var", about(0), shared, **params))
        assert torch.equal(found[-1], first_logits("var", about(0), **params))
    assert not torch.allclose(found[0], found[1], atol=1e-4)
    assert not torch.allclose(found[1], found[2], atol=1e-4)
