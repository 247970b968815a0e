"""AvisC: layers and blind tokens by hand, whose image tokens are set to zero, and when."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import MllamaConfig

from halluc.errors import UserError
from halluc.interventions.context import At
from halluc.methods.avisc import AvisC, blind_tokens, leading_layers
from tests.kit.asking import answer, prepared, questions
from tests.kit.families import build, llava
from tests.kit.places import combined

CLOSE: dict[str, Any] = {"atol": 1e-4, "rtol": 0.0}
FAMILIES = pytest.mark.parametrize("family", ["llava", "qwen2_5_vl"])


def places(mask: Tensor) -> list[list[int]]:
    return [row.nonzero()[:, 0].tolist() for row in mask]


@pytest.mark.parametrize(
    ("gamma", "layers"), [(0.0, [1]), (0.3, [1]), (0.5, [1, 3]), (0.8, [1, 2, 3])]
)
def test_leading_layers_by_hand(gamma: float, layers: list[int]) -> None:
    # masses .1, .4, .2, .3 of 1: the largest .4, .4 + .3 = .7, + .2 = .9
    halves = torch.tensor([0.05, 0.2, 0.1, 0.15])[:, None].expand(4, 2)
    attention = torch.stack([halves, halves.flip(0)]) * 0.3  # shares, whatever the sum
    assert places(leading_layers(attention, gamma)) == [layers, sorted(3 - n for n in layers)]


def test_blind_tokens_by_hand() -> None:
    rows = torch.tensor(
        [[0.05, 0.15, 0.1, 0.3, 9.0], [0.15, 0.05, 0.1, 0.7, 9.0], [0.1, 0, 0, 0, 9]]
    )
    image = torch.tensor([[True, True, True, True, False]])
    # masses .6, 1, .1 of 1.7: .588, .353, .059; below .6 is one layer, so two are read
    # means .1, .1, .1, .5: .2 on average, std sqrt((3 * .1^2 + .3^2) / 3) = .2
    assert places(blind_tokens(rows[None], image, 0.6, 1.0)) == [[3]]
    assert places(blind_tokens(rows[None], image, 0.6, 1.6)) == [[]]
    assert places(blind_tokens(rows[None], image, 0.6, -0.4)) == [[3]]
    assert places(blind_tokens(rows[None], image, 0.6, -0.6)) == [[0, 1, 2, 3]]
    # of the leading layer alone, .15, .05, .1, .7 (mean .25, std .303), the fourth
    assert places(blind_tokens(rows[None], image, 0.1, 1.4)) == [[3]]
    assert places(blind_tokens(rows[None], image, 0.1, 1.5)) == [[]]


def test_a_row_without_image_has_no_blind_tokens() -> None:
    found = blind_tokens(torch.rand(1, 3, 4), torch.zeros(1, 4).bool(), 0.5, 1.0)
    assert places(found) == [[]]


def test_defaults_and_the_contrast_by_hand() -> None:
    params = AvisC.Params()
    assert (params.alpha, params.beta, params.gamma, params.lamb) == (1.0, 0.1, 0.5, 1.0)
    main, other = torch.tensor([[2.0, 1.0, -0.5]]), torch.tensor([[1.0, 2.0, -4.0]])
    # 2 l - l'; the cut is at 2 + log .1 = -.303
    found = combined(AvisC(params), main=main, other=other)
    assert found.tolist() == [[3.0, 0.0, -float("inf")]]


def test_a_model_without_image_tokens_is_refused() -> None:
    with pytest.raises(UserError, match="'some/model' has layers for the image alone"):
        AvisC.requires(AvisC.Params(), MllamaConfig(), "some/model")


@FAMILIES
def test_a_stream_whose_tokens_are_all_blind_is_the_main_one(family: str) -> None:
    model = build(family)
    batch = questions(model, 0, 1)
    stock = answer(model, prepared("baseline", model), batch)
    found = answer(model, prepared("avisc", model, alpha=5.0, beta=0.0, lamb=-100.0), batch)
    assert torch.allclose(found.logits, stock.logits, **CLOSE)
    assert torch.equal(found.tokens, stock.tokens)
    fewer = answer(model, prepared("avisc", model, alpha=5.0, beta=0.0), batch)
    assert not torch.allclose(fewer.logits, stock.logits, **CLOSE)


@pytest.mark.parametrize("beams", [1, 2])
def test_zeroes_stand_in_the_other_streams_prompt_alone(
    beams: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden, found = AvisC.hidden, []

    def noted(self: AvisC, at: At, stream: Tensor) -> Tensor | None:
        made = hidden(self, at, stream)
        if made is not None:
            zero = (made == 0).all(-1) & (stream != 0).any(-1)  # padding is embedded as zero
            assert torch.equal(made[~zero], stream[~zero])
            image = at.image_mask.sum(1) - zero.sum(1)
            found.append((at.phase, at.layer, zero.sum(1).tolist(), image.tolist()))
        return made

    monkeypatch.setattr(AvisC, "hidden", noted)
    model = llava()
    method = prepared("avisc", model)
    made = answer(model, method, questions(model, 0, 1), beams=beams, tokens=3)
    ((phase, layer, zeroes, left),) = found
    assert (phase, layer) == ("prefill", 0)
    assert zeroes[: 2 * beams] == [0] * 2 * beams
    assert all(0 < count < 8 for count in left[2 * beams :])  # the blind ones stay
    assert zeroes[2 * beams] == zeroes[3 * beams - 1] and len(zeroes) == 4 * beams
    if beams == 1:
        assert made.passes == [2 * 3 + 1] * 2  # one to look, and two for each token


def test_generated_tokens_are_not_looked_at() -> None:
    assert set(AvisC.attention_phases) == set(AvisC.hidden_phases) == {"prefill"}


@pytest.mark.parametrize("name", ["flowcut+avisc", "vhr+avisc"])
def test_next_to_a_method_that_changes_what_is_read(name: str) -> None:
    model = llava()
    batch = questions(model, 0, 1)
    found = answer(model, prepared(name, model), batch)
    plain = answer(model, prepared("avisc", model), batch)
    assert not torch.allclose(found.logits, plain.logits, **CLOSE)
    alone = answer(model, prepared(name.split("+")[0], model), batch)
    noop = answer(model, prepared(name, model, **{"avisc.alpha": 0.0, "avisc.beta": 0.0}), batch)
    assert torch.allclose(noop.logits, alone.logits, **CLOSE)


@pytest.mark.parametrize("family", ["instructblip", "gemma3", "lfm2_vl", "llava_next", "paligemma"])
def test_other_families(family: str) -> None:
    model = build(family)
    batch = questions(model, 0, 1)
    stock = answer(model, prepared("baseline", model), batch)
    found = answer(model, prepared("avisc", model, beta=0.0), batch)
    assert bool(found.logits.isfinite().all())
    assert not torch.allclose(found.logits, stock.logits, **CLOSE)
