"""Seams in the vision tower, and seams that rest."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor

from halluc.interventions import At, BatchState, Method
from halluc.interventions.attention_switch import SeamError
from halluc.interventions.engine import intervene
from halluc.models import VisionLanguageModel
from tests.kit.asking import answer, logits_after, prepared, questions
from tests.kit.families import build


@cache
def model(family: str = "llava") -> VisionLanguageModel:
    return build(family)


class Tower(Method):
    """Looks at the vision tower; adds 1 to what is named."""

    name = "tower"
    in_vision_tower = True

    def __init__(self, edits: tuple[str, int] | None = None) -> None:
        super().__init__(Method.Params())
        self.edits = edits
        self.seen: list[tuple[str, str, int, int]] = []

    def hidden(self, at: At, hidden: Tensor) -> Tensor | None:
        self.seen.append(("hidden", at.part, at.layer, at.n_layers))
        mine = at.part == "vision" and self.edits == ("hidden", at.layer)
        return hidden + 1 if mine else None

    def feed_forward(self, at: At, inputs: Tensor, outputs: Tensor) -> Tensor:
        self.seen.append(("feed_forward", at.part, at.layer, at.n_layers))
        assert inputs.shape == outputs.shape == (*at.rows.shape, 32)
        mine = at.part == "vision" and self.edits == ("feed_forward", at.layer)
        return outputs + 1 if mine else outputs


def features(family: str, method: Method) -> Tensor:
    inputs = questions(model(family), 0).inputs
    state = BatchState.of_inputs(model(family), inputs)
    with torch.no_grad(), intervene(model(family), method, state):
        return torch.cat(list(model(family).encode_images(inputs).pooler_output))


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl", "mistral3", "internvl"])
def test_both_seams_are_called_once_a_layer_of_the_tower(family: str) -> None:
    method = Tower()
    features(family, method)
    assert sorted(method.seen) == [
        *(("feed_forward", "vision", layer, 3) for layer in range(3)),
        *(("hidden", "vision", layer, 3) for layer in range(4)),
    ]
    assert not any(m._forward_pre_hooks for m in model(family).model.modules())


@pytest.mark.parametrize(
    ("family", "seam", "last"),
    [
        ("llava", "hidden", 2), ("llava", "feed_forward", 1), ("qwen2_5_vl", "hidden", 3),
        ("qwen2_5_vl", "feed_forward", 2),
    ],
)  # fmt: skip
def test_edits_reach_the_features_up_to_the_layer_they_are_read_at(
    family: str, seam: str, last: int
) -> None:
    features(family, Tower())  # transformers' own hooks are set by now, and stay
    stock = features(family, Tower())
    for layer in range(4 if seam == "hidden" else 3):
        found = features(family, Tower((seam, layer)))
        assert torch.equal(found, stock) == (layer > last), layer


class Resting(Tower):
    """Declares a seam that these parameters leave alone."""

    name = "resting"
    resting = ("feed_forward",)


def test_resting_seams_are_not_called_and_not_missed() -> None:
    method = Resting()
    logits_after(model(), method, questions(model(), 0).inputs)
    assert {seam for seam, *_ in method.seen} == {"hidden"}

    class Nowhere(Tower):
        def layers(self, n_layers: int) -> tuple[int, ...]:
            return ()

    nowhere = Nowhere()
    nowhere.in_vision_tower = False
    with pytest.raises(SeamError, match="'hidden' bound to nothing"):
        logits_after(model(), nowhere, questions(model(), 0).inputs)


def test_a_composite_rests_where_all_its_parts_do() -> None:
    alphas = {"vti.alpha_text": 0, "vti.alpha_image": 0, "vti.demos": 2}
    for variant, resting in (("paper", "feed_forward"), ("official_code", "hidden")):
        method = prepared("vti+vcd", model(), **alphas, **{"vti.variant": variant})
        assert set(method.resting) == {resting}
    both = prepared("vti+var", model(), **alphas, **{"vti.variant": "official_code"})
    assert not both.resting  # VAR looks at hidden states
    alone = answer(model(), prepared("var", model()), questions(model(), 0, 1))
    found = answer(model(), both, questions(model(), 0, 1))
    assert torch.allclose(found.logits, alone.logits, atol=1e-4)


def test_passes_of_one_part_leave_the_other_part_out() -> None:
    alphas = {"vti.alpha_text": 0, "vti.alpha_image": 0, "vti.demos": 2}
    alone = answer(model(), prepared("vhr", model()), questions(model(), 0, 1))
    for variant in ("paper", "official_code"):
        both = prepared("vti+vhr", model(), **alphas, **{"vti.variant": variant})
        found = answer(model(), both, questions(model(), 0, 1))
        assert torch.allclose(found.logits, alone.logits, atol=1e-4)
