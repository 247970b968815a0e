"""Methods together: order, own rows and memory, and what cannot be combined."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from halluc.errors import UserError
from halluc.interventions import REGISTRY
from halluc.interventions.compose import find
from halluc.models import VisionLanguageModel
from halluc.validation import key_values
from tests.kit.asking import answer, prepared, questions
from tests.kit.families import llava
from tests.kit.twins import Blind, Twin


def together(model: VisionLanguageModel, name: str, text: str = "") -> Tensor:
    method = find(name).for_model(model, key_values(text, "--method-args"))
    return answer(model, method, questions(model, 0, 1)).logits


def test_a_part_that_does_nothing_leaves_the_other_as_it_is() -> None:
    model = llava()
    for name, noop, other in (
        ("vhr+paint", "vhr.gain=1", "paint"),
        ("vhr+paint", "paint.alpha=0,paint.beta=0", "vhr"),
        ("var+vhr", "var.keep=1", "vhr"),
        ("paint+var", "var.keep=1", "paint"),
        ("act+var", "act.beta=1", "var"),
        ("act+paint", "act.beta=1", "paint"),
        ("flowcut+vhr", "vhr.gain=1", "flowcut"),
        ("zerotuning+paint", "zerotuning.gamma=1", "paint"),
    ):
        alone = answer(model, prepared(other, model), questions(model, 0, 1)).logits
        assert torch.allclose(together(model, name, noop), alone, atol=1e-4)


def test_guidance_is_the_same_next_to_a_part_that_does_nothing() -> None:
    model = llava()
    alone = answer(model, prepared("paint", model, gamma=1.3), questions(model, 0, 1)).logits
    both = together(model, "act+paint", "act.beta=1,paint.gamma=1.3")
    assert torch.allclose(both, alone, atol=1e-4)


def test_parts_add_up() -> None:
    model = llava()
    both = together(model, "vhr+paint")
    for name in ("baseline", "vhr", "paint"):
        alone = answer(model, prepared(name, model), questions(model, 0, 1)).logits
        assert (both - alone).abs().max() > 1e-3


def test_batch_changes_nothing_for_composites() -> None:
    model = llava()
    method = prepared("vhr+var+paint", model)
    both = answer(model, method, questions(model, 0, 1), beams=3).logits
    for row in range(2):
        alone = answer(model, method, questions(model, row), beams=3).logits
        assert torch.allclose(both[row], alone[0], atol=1e-3)


def test_two_methods_that_decide_the_next_token_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    REGISTRY.names()
    monkeypatch.setitem(REGISTRY._entries, "twin", Twin)
    monkeypatch.setitem(REGISTRY._entries, "blind", Blind)
    config = llava().model.config
    rivals = find("twin+blind")
    with pytest.raises(UserError, match="twin and blind cannot be combined"):
        rivals.requires(rivals.Params(), config, "tiny")
    assert find("twin+vhr").declared() == (
        "streams", "head_gain", "next_token_logits", "prepare",
    )  # fmt: skip


def test_paint_decides_the_next_token_only_under_guidance() -> None:
    config = llava().model.config
    cls = find("agla+paint")
    cls.requires(cls.Params(), config, "tiny")
    guided = find("agla+paint").parameters(key_values("paint.gamma=1.1", "--method-args"))
    with pytest.raises(UserError, match="agla and paint cannot be combined"):
        cls.requires(guided, config, "tiny")


@pytest.mark.parametrize(
    ("name", "text", "culprit"),
    [
        ("vhr+vra", "", "unknown method 'vra'"),
        ("vhr+vhr", "", "names a part twice"),
        ("vhr+var", "gain=2", "unknown parameter 'gain'"),
        ("vhr+var", "vhr.gian=2", "did you mean 'vhr.gain'"),
        ("vhr+var", "var.keep=2", "'var.keep': input should be less than or equal to 1, not 2"),
    ],
)
def test_errors_name_the_part(name: str, text: str, culprit: str) -> None:
    with pytest.raises(UserError, match=culprit):
        find(name).parameters(key_values(text, "--method-args"))
