"""VHR: hand-computed selection, and the lockstep pass against two separate ones."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from halluc.interventions import At, BatchState
from halluc.interventions.engine import intervene
from halluc.methods._image_heads import divergence, drop_outliers, sensitive_heads
from halluc.methods.vhr import VHR
from tests.kit.families import llava, prompts

QUESTIONS = ("is there a dog ?", "please describe this image is there a car in the image ?")


def test_divergence_is_a_distance() -> None:
    seen = torch.tensor([[[3.0, 4.0], [1.0, 1.0]]])
    assert divergence(seen, torch.zeros(1, 2, 2)).tolist() == [[5.0, pytest.approx(2**0.5)]]


def test_half_of_an_even_number_of_heads_pass_the_median() -> None:
    vhd = torch.tensor([[4.0, 1.0, 3.0, 2.0], [0.0, 0.0, 0.0, 9.0]])
    assert sensitive_heads(vhd).tolist() == [
        [True, False, True, False],
        [False, False, False, True],
    ]


def test_the_middle_head_of_an_odd_number_does_not_pass() -> None:
    assert sensitive_heads(torch.tensor([[1.0, 2.0, 3.0]])).tolist() == [[False, False, True]]


def test_outliers_must_be_extreme_twice() -> None:
    # Mean 2, deviation 2 (H - 1): 5 exceeds 4. Text: mean 2.5, deviation 5: 10 exceeds 7.5.
    vhd = torch.tensor([[1.0, 1.0, 1.0, 5.0]])
    text = torch.tensor([[0.0, 0.0, 0.0, 10.0]])
    assert drop_outliers(vhd, text).tolist() == [[1.0, 1.0, 1.0, 0.0]]
    assert drop_outliers(vhd, text.flip(-1)).tolist() == vhd.tolist()
    assert drop_outliers(vhd, torch.full((1, 4), 3.0)).tolist() == vhd.tolist()


def test_biased_deviation_moves_the_threshold() -> None:
    # Mean 3, deviation sqrt(8) with H - 1 and sqrt(16/3) with H: 5.5 lies between 5.31 and 5.83.
    vhd = torch.tensor([[1.0, 2.5, 5.5]])
    text = torch.tensor([[0.0, 0.0, 9.0]])
    mean, sample, population = vhd.mean(), vhd.std(), vhd.std(correction=0)
    assert mean + population < 5.5 < 3 + 8**0.5
    dropped = drop_outliers(vhd, text, unbiased=False)
    assert dropped[0, 2] == 0.0
    assert (drop_outliers(vhd, text)[0, 2] == 0.0) == bool(vhd[0, 2] > mean + sample)


def test_lockstep_chooses_as_two_separate_passes_at_gain_one() -> None:
    model = llava()
    layers = (1, 2, 3)
    inputs = prompts(model, *QUESTIONS)
    method = VHR(VHR.Params(gain=1.0, layers=layers))
    state = BatchState.of_inputs(model, inputs)
    with torch.inference_mode(), intervene(model, method, state) as engine:
        engine.prepare(inputs)
        chosen = state.method.chosen
        model.model(**inputs)  # the reinforced pass itself, so that the seam is bound

    seen, unseen = (head_outputs(model, x) for x in (inputs, model.without_image(inputs)))
    for layer in layers:
        expected = method.choose(seen[layer], unseen[layer])
        assert torch.equal(chosen[layer], expected)
        assert chosen[layer].sum(1).tolist() == [2, 2]


def test_later_layers_are_chosen_with_earlier_ones_reinforced() -> None:
    model = llava()
    inputs = prompts(model, *QUESTIONS)

    def last_layer(layers: tuple[int, ...], gain: float) -> Tensor:
        method = VHR(VHR.Params(gain=gain, layers=layers))
        kept: list[Tensor] = []
        original = method.choose
        method.choose = lambda seen, unseen: kept.append(seen) or original(seen, unseen)  # type: ignore[method-assign, func-returns-value]
        state = BatchState.of_inputs(model, inputs)
        with torch.inference_mode(), intervene(model, method, state) as engine:
            engine.prepare(inputs)
        return kept[-1]

    assert not torch.allclose(last_layer((1, 3), 4.0), last_layer((3,), 4.0), atol=1e-3)
    assert torch.allclose(last_layer((1, 3), 1.0), last_layer((3,), 1.0), atol=1e-5)


def test_gain_reaches_o_proj() -> None:
    model = llava()
    inputs = prompts(model, QUESTIONS[0])
    chosen: dict[int, Tensor] = {}

    class Fixed(VHR):
        def head_gain(self, at: At, outputs: Tensor) -> Tensor:
            gain = super().head_gain(at, outputs)
            chosen[at.layer] = gain
            return gain

    method = Fixed(VHR.Params(gain=3.0, layers=(3,)))
    stock = head_outputs(model, inputs)
    state = BatchState.of_inputs(model, inputs)
    with torch.inference_mode(), intervene(model, method, state) as engine:
        engine.prepare(inputs)
        edited = head_outputs(model, inputs)
    assert torch.allclose(edited[2], stock[2], atol=1e-5)
    assert torch.allclose(edited[3], stock[3] * chosen[3][:, :, None], atol=1e-4)
    assert chosen[3].unique().tolist() == [1.0, 3.0]


def head_outputs(model: Any, inputs: dict[str, Tensor]) -> list[Tensor]:
    """What each layer's o_proj receives at the last position, [B, H, d]."""
    outputs: list[Tensor] = []
    heads = model.model.config.text_config.num_attention_heads

    def look(_: Any, args: Any) -> None:
        outputs.append(args[0][:, -1].unflatten(-1, (heads, -1)))

    handles = [m.o_proj.register_forward_pre_hook(look) for m in model.self_attention.values()]
    with torch.inference_mode():
        model.model(**inputs)
    for handle in handles:
        handle.remove()
    return outputs
