"""NoLan's divergence, strength and contrast by hand."""

from __future__ import annotations

from math import log, tanh
from typing import Any

import pytest
import torch
from torch import Tensor

from halluc.methods.nolan import NoLan, divergence, suppression
from tests.kit.asking import answer, prepared, questions
from tests.kit.families import llava
from tests.kit.places import combined

P, Q = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.8, 0.2]]).log()
APART = 0.15 * log(4)
"""(KL(p || q) + KL(q || p)) / 2 = ((.5 - .8) ln(.5 / .8) + (.5 - .2) ln(.5 / .2)) / 2
= .15 (ln 1.6 + ln 2.5) = .15 ln 4 = .2079."""


def test_the_divergence_by_hand() -> None:
    assert float(divergence(P, Q)) == pytest.approx(APART, abs=1e-6)
    assert float(divergence(Q + 3, P - 1)) == pytest.approx(APART, abs=1e-6)  # logits, either way
    assert float(divergence(P, P)) == 0
    both = divergence(torch.cat([P, Q]), torch.cat([Q, Q]))
    assert both.shape == (2, 1) and float(both[1]) == 0


def test_what_is_added_to_chances_in_the_code() -> None:
    p, q = torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, -60.0]])
    # q = (1, e^-60): ((.5 - 1) ln .5 + .5 (ln .5 + 60)) / 2 = (.3466 - .3466 + 30) / 2 = 15
    assert float(divergence(p, q)) == pytest.approx(15, abs=1e-4)
    # with 1e-10 the other is 1e-10: (.3466 + .5 ln(.5 / 1e-10)) / 2 = (.3466 + 11.1664) / 2
    assert float(divergence(p, q, "official_code")) == pytest.approx(5.7565, abs=1e-3)


def test_tokens_ruled_out_in_both_do_not_count() -> None:
    gone = torch.full((1, 1), float("-inf"))
    found = divergence(torch.cat([P, gone], 1), torch.cat([Q, gone], 1))
    assert float(found) == pytest.approx(APART, abs=1e-6)


@pytest.mark.parametrize(("apart", "strength"), [(0.0, 2.0), (1.0, 1.7616), (2.0, 1.4621)])
def test_the_strength_by_hand(apart: float, strength: float) -> None:
    # tanh 1 = .7616, tanh .5 = .4621; where both agree, 1 / g has no bound and tanh is 1
    assert float(suppression(torch.tensor(apart))) == pytest.approx(strength, abs=5e-5)
    assert float(suppression(torch.tensor(1e9))) == pytest.approx(1.0)


def test_defaults() -> None:
    model = llava()
    for variant in ("paper", "official_code"):
        params = NoLan.resolve(NoLan.Params(variant=variant), model)
        assert params.model_dump() == {
            "variant": variant, "alpha": 0.8, "beta": 0.0, "dynamic": True,
        }  # fmt: skip


def nolan(main: Tensor, other: Tensor, **params: Any) -> list[float]:
    row = combined(NoLan(NoLan.Params(**params)), main=main, blind=other)[0]
    return [float(value) for value in row]


def test_the_contrast_by_hand() -> None:
    strength = 0.8 * (tanh(1 / APART) + 1)  # 1 / .2079 = 4.81, tanh .99987: 1.5999
    assert strength == pytest.approx(1.5999, abs=1e-4)
    expected = [
        log(0.5) + strength * log(0.5 / 0.8), log(0.5) + strength * log(0.5 / 0.2),
    ]  # fmt: skip
    assert nolan(P, Q) == pytest.approx(expected, abs=1e-5)
    fixed = [log(0.5) + log(0.5 / 0.8), log(0.5) + log(0.5 / 0.2)]
    assert nolan(P, Q, alpha=1.0, dynamic=False) == pytest.approx(fixed, abs=1e-5)
    far, close = nolan(P, Q, alpha=1.0), nolan(P, P, alpha=1.0)
    assert close == pytest.approx(P[0].tolist()) and far[1] > close[1]


def test_each_row_has_its_own_strength() -> None:
    main, other = torch.tensor([[0.0, 0.0], [0.0, 8.0]]), torch.tensor([[0.1, 0.0], [8.0, 0.0]])
    both = combined(NoLan(NoLan.Params()), main=main, blind=other)
    assert both.tolist() == [nolan(main[:1], other[:1]), nolan(main[1:], other[1:])]
    # g of the second is about 8: .8 (tanh(1 / 8) + 1) = .8995
    assert float(both[1, 1]) == pytest.approx(8 + 0.8995 * 8, abs=1e-2)


def test_the_code_counts_excluded_tokens_less() -> None:
    main, other = torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, -60.0]])
    # 60 * .8 (tanh(1 / 15) + 1) = 51.195; in the code 60 * .8 (tanh(1 / 5.7565) + 1) = 56.256
    assert nolan(main, other)[1] == pytest.approx(51.195, abs=0.01)
    assert nolan(main, other, variant="official_code")[1] == pytest.approx(56.256, abs=0.01)


def test_nothing_is_cut_unless_asked() -> None:
    main, other = torch.tensor([[0.0, -9.0]]), torch.tensor([[0.0, -1.0]])
    assert nolan(main, other)[1] > float("-inf") and nolan(main, other, beta=0.1)[1] == float(
        "-inf"
    )


def test_the_other_stream_has_no_image() -> None:
    model = llava()
    batch = questions(model, 0, 1)
    inputs = prepared("nolan", model).streams(batch, model)["blind"]
    assert not (inputs["input_ids"] == model.image_token).any() and "pixel_values" not in inputs
    stock = answer(model, prepared("baseline", model), batch)
    assert not torch.allclose(answer(model, prepared("nolan", model), batch).logits, stock.logits)
