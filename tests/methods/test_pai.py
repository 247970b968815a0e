"""PAI: the boost and guidance by hand, where each acts, and what the published code leaves out."""

from __future__ import annotations

from math import exp, log
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import MllamaConfig

from halluc.errors import UserError
from halluc.interventions import At, Batch, Method
from halluc.interventions.contrast import contrasted
from halluc.methods._image_emphasis import raised, seen
from halluc.methods.pai import PAI
from halluc.models import VisionLanguageModel
from tests.kit.asking import answer, prepared, questions
from tests.kit.attention import attending, hidden_from
from tests.kit.families import llava
from tests.kit.places import combined


@pytest.fixture(scope="module")
def model() -> VisionLanguageModel:
    return llava()


def boosted(**params: Any) -> PAI:
    return PAI(PAI.filled(PAI.Params(**params)))


def test_image_keys_are_raised_by_half_their_size() -> None:
    logits = torch.tensor([[[[1.0, -2.0, 3.0, -4.0]], [[-1.0, 2.0, 0.0, 5.0]]]])
    out = boosted().attention_logits(attending("tiit"), logits)
    # -2 + .5 * 2 and 3 + .5 * 3; 2 + .5 * 2 and 0: every head, text stays
    assert out.tolist() == [[[[1.0, -1.0, 4.5, -4.0]], [[-1.0, 3.0, 0.0, 5.0]]]]


def test_generated_rows_are_boosted_too() -> None:
    logits = torch.tensor([[[[1.0, -2.0, 3.0, -4.0, 1.0, 2.0]]]])
    out = boosted(alpha=0.1).attention_logits(attending("tiit", fed=2), logits)
    assert out.flatten().tolist() == pytest.approx([1, -1.8, 3.3, -4, 1, 2])


def test_rows_not_asked_for_and_keys_out_of_sight_stay() -> None:
    at = attending("iit", rows=3)
    at.rows[0, 1] = False
    logits = hidden_from(at, torch.ones(1, 2, 3, 3))
    out = boosted(alpha=3.0).attention_logits(at, logits)
    lowest = torch.finfo(torch.float32).min
    assert out[0, 0].tolist() == [[4, lowest, lowest], [1, 1, lowest], [4, 4, 1]]
    assert seen(at, at.image_columns).tolist() == [
        [[[True, False, False], [False, False, False], [True, True, False]]]
    ]


def test_a_prompt_without_image_is_left_alone() -> None:
    logits = torch.randn(2, 2, 1, 4)
    out = boosted().attention_logits(attending("ptit", "tttt"), logits)
    assert torch.equal(out[1], logits[1]) and not torch.equal(out[0], logits[0])
    assert raised(torch.tensor([-2.0, 3.0]), torch.tensor(0.5)).tolist() == [-1.0, 4.5]


def test_guidance_is_hand_computed() -> None:
    # .8^2 / .5 = 1.28 and .15^2 / .25 = .09; .05 is less than a tenth of .8
    main, other = ([0.8, 0.15, 0.05], [0.5, 0.25, 0.25])
    streams: dict[str, Any] = {
        "main": torch.tensor([main]).log() + 3, "no image": torch.tensor([other]).log() - 1,
    }  # fmt: skip
    out = combined(boosted(gamma=2.0), **streams)
    assert out.exp().tolist() == [pytest.approx([1.28, 0.09, 0.0])]
    # 1.1 (log .8 - log .5) + log .5
    expected = 1.1 * (log(0.8) - log(0.5)) + log(0.5)
    assert float(combined(boosted(), **streams)[0, 0]) == pytest.approx(expected, abs=1e-5)
    assert exp(expected) == pytest.approx(0.8385, abs=1e-4)


@pytest.mark.parametrize("gamma", [1.1, 2.0])
def test_guidance_is_vcds_contrast_of_gamma_less_one(gamma: float) -> None:
    main = torch.tensor([[1.0, 0.5, -0.2, 0.9]])
    other = torch.tensor([[0.2, 1.5, -0.1, 0.0]])
    streams: dict[str, Any] = {"main": main, "no image": other}
    found = combined(boosted(gamma=gamma), **streams)
    apart = (found - contrasted(main, other, gamma - 1))[0]
    assert apart.tolist() == pytest.approx([float(apart[0])] * 4, abs=1e-6)


def test_without_guidance_there_is_one_stream(model: VisionLanguageModel) -> None:
    batch = questions(model, 0)
    main = torch.tensor([[1.0, -3.0]])
    assert torch.equal(combined(boosted(gamma=1.0), main=main), main)
    assert boosted(gamma=1.0).streams(batch, model) == {}
    assert list(boosted().streams(batch, model)) == ["no image"]
    assert PAI.decides(PAI.Params()) and not PAI.decides(PAI.Params(gamma=1.0))
    for gamma, each in ((1.1, 2), (1.0, 1)):
        found = answer(model, boosted(gamma=gamma), batch)
        assert found.passes == [each * found.tokens.shape[1]]
    assert (PAI.card.cost.token, PAI.card.cost.prompt) == (2, 0)


@pytest.mark.parametrize(
    ("given", "alpha", "boost_prompt"),
    [
        ({}, 0.5, True),
        ({"gamma": 1.0}, 0.5, True),
        ({"variant": "official_code"}, 0.2, False),
        ({"variant": "official_code", "gamma": 1.0}, 0.2, True),
        ({"variant": "official_code", "alpha": 0.3, "boost_prompt": True}, 0.3, True),
        ({"alpha": 0.0, "boost_prompt": False}, 0.0, False),
    ],
)
def test_defaults(
    given: dict[str, Any], alpha: float, boost_prompt: bool, model: VisionLanguageModel
) -> None:
    params = PAI.resolve(PAI.Params(**given), model)
    assert (params.alpha, params.boost_prompt) == (alpha, boost_prompt)
    assert (params.gamma, params.first_layer) == (given.get("gamma", 1.1), 2)
    assert list(PAI(params).layers(32)) == list(range(2, 32))


class Places(PAI):
    """Notes where logits are edited."""

    edited: set[tuple[str, int]]

    def attention_logits(self, at: At, logits: Tensor) -> Tensor:
        out = super().attention_logits(at, logits)
        different = out != logits
        if different.any():
            self.edited.add((at.phase, at.layer))
            blind = at.stream == 1
            assert not different[blind].any() and different[~blind].any()
            assert not (different & ~at.image_columns[:, None, None]).any()
            assert logits.shape[2] == 1
        return out


@pytest.mark.parametrize(
    ("variant", "phases"), [("paper", {"prefill", "decode"}), ("official_code", {"decode"})]
)
def test_acts_in_the_stream_with_the_image(
    variant: Any, phases: set[str], model: VisionLanguageModel
) -> None:
    method = Places(PAI.filled(PAI.Params(variant=variant)))
    method.edited = set()
    answer(model, method, questions(model, 0, 1))
    assert method.edited == {(phase, layer) for phase in phases for layer in (2, 3)}


def first(model: VisionLanguageModel, method: Method, batch: Batch) -> Tensor:
    return answer(model, method, batch, tokens=1).logits


def test_official_code_never_boosts_what_the_first_token_is_said_of(
    model: VisionLanguageModel,
) -> None:
    batch, code = questions(model, 0, 1), {"variant": "official_code"}
    with_guidance = first(model, boosted(**code, alpha=4.0), batch)
    assert torch.equal(with_guidance, first(model, boosted(**code, alpha=0.0), batch))
    alone = first(model, boosted(**code, alpha=4.0, gamma=1.0), batch)
    assert not torch.allclose(alone, first(model, boosted(gamma=1.0, alpha=0.0), batch))


def test_layers_for_the_image_alone_are_refused() -> None:
    with pytest.raises(UserError, match=r"'pai' weighs image tokens.*layers for the image alone"):
        PAI.requires(PAI.Params(), MllamaConfig(), "some/model")


def test_guidance_and_another_contrast_cannot_be_combined(model: VisionLanguageModel) -> None:
    with pytest.raises(UserError, match="pai and vcd cannot be combined"):
        prepared("pai+vcd", model)
    batch = questions(model, 0)
    both = answer(model, prepared("pai+vcd", model, **{"pai.gamma": 1.0}), batch)
    alone = answer(model, prepared("vcd", model), batch)
    assert not torch.allclose(both.logits, alone.logits)
