"""M3ID's weight, correction, gate and cut-off by hand; who is contrasted with whom."""

from __future__ import annotations

from math import log
from typing import Any

import pytest
import torch
from torch import Tensor

from halluc.methods.m3id import M3ID, forgetting
from tests.kit.asking import answer, prepared, questions
from tests.kit.families import build, llava
from tests.kit.places import combined

INF = float("inf")
SEEN = torch.tensor([[0.5, 0.3, 0.2]]).log()
BLIND = torch.tensor([[0.25, 0.6, 0.15]]).log()


@pytest.mark.parametrize(("token", "weight"), [(1, 0.0202), (35, 1.0138), (50, 1.7183)])
def test_the_weight_grows_with_every_token(token: int, weight: float) -> None:
    # (1 - g) / g = exp(.02 t) - 1: exp(.02) = 1.0202, exp(.7) = 2.0138, exp(1) = 2.7183
    assert forgetting(token, 0.02) == pytest.approx(weight, abs=5e-5)
    assert forgetting(token, 0.0) == 0


def test_the_weight_stays_finite() -> None:
    huge = m3id(10**6, SEEN, BLIND)
    assert huge[0] > 1e20 and huge[1] < -1e20  # no inf, no nan, and in the order of l_c - l_u


def test_defaults() -> None:
    params = M3ID.resolve(M3ID.Params(), llava())
    assert params.model_dump() == {"alpha": 1.0, "beta": 0.1, "decay": 0.02, "gate": 1.0}


def m3id(step: int, main: Tensor = SEEN, other: Tensor = BLIND, **params: Any) -> list[float]:
    row = combined(M3ID(M3ID.Params(**params)), step, main=main, blind=other)[0]
    return [float(value) for value in row]


@pytest.mark.parametrize(("step", "weight"), [(0, 0.020201), (49, 1.718282)])
def test_the_correction_by_hand(step: int, weight: float) -> None:
    # step 0 chooses token 1. log .5 + w log(.5 / .25), log .3 + w log(.3 / .6) and so on
    expected = [
        log(0.5) + weight * log(2), log(0.3) + weight * log(0.5), log(0.2) + weight * log(4 / 3),
    ]  # fmt: skip
    assert m3id(step) == pytest.approx(expected, abs=1e-4)
    # l_c - l_u is of log-probabilities, whatever was added to all of a row
    moved = m3id(step, SEEN + 3, BLIND - 5)
    assert [value - 3 for value in moved] == pytest.approx(expected, abs=1e-4)
    half = [log(0.5) + weight / 2 * log(2), log(0.3) + weight / 2 * log(0.5)]
    assert m3id(step, alpha=0.5)[:2] == pytest.approx(half, abs=1e-4)


def test_implausible_tokens_are_cut() -> None:
    # .3 / .5 = .6 stays, .2 / .5 = .4 goes
    assert [value > -INF for value in m3id(0, beta=0.5)] == [True, True, False]
    assert m3id(0, beta=0.5)[2] == -INF


def test_the_gate_leaves_sure_rows_alone() -> None:
    main, other = SEEN.repeat(2, 1), BLIND.repeat(2, 1)
    main[1] = torch.tensor([0.8, 0.1, 0.1]).log()
    gated = combined(M3ID(M3ID.Params(gate=0.6, beta=0.0)), 49, main=main, blind=other)
    always = combined(M3ID(M3ID.Params(beta=0.0)), 49, main=main, blind=other)
    assert torch.equal(gated[0], always[0])
    assert torch.allclose(gated[1], main[1]) and not torch.allclose(always[1], main[1])


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl"])
def test_the_other_stream_has_no_image(family: str) -> None:
    model = build(family)
    batch = questions(model, 0, 1)
    inputs = prepared("m3id", model).streams(batch, model)["blind"]
    assert not (inputs["input_ids"] == model.image_token).any()
    assert "pixel_values" not in inputs
    text = (batch.inputs["input_ids"] != model.image_token) & batch.inputs["attention_mask"].bool()
    assert torch.equal(
        inputs["input_ids"][inputs["attention_mask"].bool()], batch.inputs["input_ids"][text]
    )


def test_short_answers_hardly_change_and_long_ones_do() -> None:
    model = llava()
    batch = questions(model, 0, 1)
    stock = answer(model, prepared("baseline", model), batch, tokens=20)
    found = answer(model, prepared("m3id", model, beta=0.0), batch, tokens=20)
    assert float((found.logits - stock.logits).abs().max()) < 0.1
    strong = answer(model, prepared("m3id", model, decay=0.3), batch, tokens=20)
    assert not torch.equal(strong.tokens, stock.tokens)
