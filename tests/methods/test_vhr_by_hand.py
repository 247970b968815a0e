"""VHR's lockstep pass against two passes made by hand, layer after layer, at the paper's gain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import dist, sqrt
from statistics import mean, median, pstdev, stdev
from typing import Any

import pytest
import torch
from torch import Tensor

from halluc.interventions import BatchState
from halluc.interventions.engine import intervene
from halluc.methods.vhr import VHR
from halluc.models import VisionLanguageModel
from tests.kit.asking import QUESTIONS
from tests.kit.families import llava, prompts

LAYERS = (1, 2, 3)
HEADS = 4
Chosen = dict[int, list[list[bool]]]


@dataclass(frozen=True)
class Rules:
    """How heads are chosen by hand; the defaults are VHR's.

    Attributes:
        text_without_image: TA is read in the pass without the image.
        copy_reinforced: Heads chosen so far are reinforced in that pass, too.
    """

    gain: float = 2.0
    drop_outliers: bool = True
    squared: bool = True
    unbiased: bool = True
    text_without_image: bool = True
    copy_reinforced: bool = True


@cache
def model() -> VisionLanguageModel:
    return llava(7)  # whose heads fall out differently under each of the rules


def two_passes(rules: Rules) -> Chosen:
    """Choose layer by layer, each time in a pass with and in one without the image."""
    seen = prompts(model(), *QUESTIONS)
    unseen = model().without_image(seen)
    chosen: Chosen = {}
    for layer in LAYERS:
        copied = chosen if rules.copy_reinforced else {}
        found = head_outputs(layer, seen, chosen, rules), head_outputs(layer, unseen, copied, rules)
        chosen[layer] = [chosen_by_hand(*row, rules) for row in zip(*found, strict=True)]
    return chosen


def head_outputs(layer: int, inputs: Mapping[str, Any], chosen: Chosen, rules: Rules) -> list[Any]:
    """What each head gives o_proj at the last position, [B][H][d], chosen heads reinforced."""
    found: list[Tensor] = []

    def reinforce(number: int) -> Any:
        def hook(_: Any, args: Any) -> tuple[Tensor]:
            outputs = args[0].unflatten(-1, (HEADS, -1))
            if number == layer:
                found.append(outputs[:, -1])
            if number in chosen:
                gain = 1 + (rules.gain - 1) * torch.tensor(chosen[number]).float()
                outputs = outputs * gain[:, None, :, None]
            return (outputs.flatten(-2),)

        return hook

    modules: dict[int, Any] = model().self_attention
    handles = [
        module.o_proj.register_forward_pre_hook(reinforce(number))
        for number, module in modules.items()
    ]
    with torch.inference_mode():
        model().model(**inputs)
    for handle in handles:
        handle.remove()
    heads: list[Any] = found[0].tolist()
    return heads


def chosen_by_hand(seen: list[Any], unseen: list[Any], rules: Rules) -> list[bool]:
    """Equations 4, 6 and 7 for one prompt, in plain Python."""
    vhd = [dist(one, other) for one, other in zip(seen, unseen, strict=True)]
    text = [sum(x * x for x in head) for head in (unseen if rules.text_without_image else seen)]
    if not rules.squared:
        text = [sqrt(x) for x in text]
    if rules.drop_outliers:
        twice = zip(vhd, extreme(vhd, rules), extreme(text, rules), strict=True)
        vhd = [0.0 if moved and active else x for x, moved, active in twice]
    return [x > median(vhd) for x in vhd]


def extreme(values: list[float], rules: Rules) -> list[bool]:
    deviation = stdev if rules.unbiased else pstdev
    return [x > mean(values) + deviation(values) for x in values]


def lockstep(**params: Any) -> Chosen:
    """The heads the method itself chooses."""
    method = VHR(VHR.Params(layers=LAYERS, **params))
    inputs = prompts(model(), *QUESTIONS)
    state = BatchState.of_inputs(model(), inputs)
    with torch.inference_mode(), intervene(model(), method, state) as engine:
        engine.prepare(inputs)
    return {layer: heads.tolist() for layer, heads in state.method.chosen.items()}


def test_heads_are_chosen_as_by_two_passes_at_gain_two() -> None:
    assert lockstep() == two_passes(Rules())


def test_an_outlier_of_eq_6_is_left_out_unless_asked_otherwise() -> None:
    kept = two_passes(Rules(drop_outliers=False))
    assert lockstep() == two_passes(Rules()) != kept  # there is one in this batch
    assert lockstep(drop_outliers=False) == kept


def test_text_activity_is_read_without_the_image() -> None:
    assert lockstep() == two_passes(Rules()) != two_passes(Rules(text_without_image=False))


def test_text_activity_is_the_squared_norm_or_the_norm() -> None:
    plain = two_passes(Rules(squared=False))
    assert lockstep() == two_passes(Rules()) != plain
    assert lockstep(squared_text_activity=False) == plain


def test_the_deviation_over_heads_divides_by_one_less_or_by_all() -> None:
    biased = two_passes(Rules(unbiased=False))
    assert lockstep() == two_passes(Rules()) != biased
    assert lockstep(unbiased=False) == biased


def test_the_copy_without_image_is_reinforced_while_layers_are_chosen() -> None:
    assert lockstep() == two_passes(Rules()) != two_passes(Rules(copy_reinforced=False))


@pytest.mark.parametrize("gain", [1.0, 3.0])
def test_heads_are_chosen_under_the_gain_that_is_used(gain: float) -> None:
    other = two_passes(Rules(gain=gain))
    assert lockstep(gain=gain) == other != two_passes(Rules())
