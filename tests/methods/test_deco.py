"""DeCo: candidates and the surest early layer by hand, and what is read off early layers."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from halluc.errors import UserError
from halluc.methods._early import of_32
from halluc.methods.deco import DeCo, candidates, surest
from tests.kit.asking import answer, prepared, questions
from tests.kit.families import llava


def chances(*values: float) -> Tensor:
    return torch.tensor([values]).log()


def kept(logits: Tensor, top_p: float, top_k: int | None) -> list[list[int]]:
    return [row.nonzero()[:, 0].tolist() for row in candidates(logits, top_p, top_k)]


def test_candidates_end_with_the_one_that_reaches_top_p() -> None:
    # sorted: .4 (token 2), .3 (0), .2 (3), .1 (1); sums .4, .7, .9, 1
    logits = chances(0.3, 0.1, 0.4, 0.2)
    assert kept(logits, 0.69, 20) == [[0, 2]]
    assert kept(logits, 0.71, 20) == [[0, 2, 3]]
    assert kept(logits, 0.2, 20) == [[2]]
    assert kept(logits, 0.95, 20) == [[0, 1, 2, 3]]
    assert kept(logits, 0.95, 2) == [[0, 2]]  # no more than top_k
    assert kept(logits, 0.71, None) == [[0, 2, 3]]
    assert kept(logits, 1.0, 3) == [[0, 2, 3]]
    assert kept(torch.zeros(1, 5), 1.0, None) == [[0, 1, 2, 3, 4]]


def test_candidates_are_each_rows_own() -> None:
    both = torch.cat([chances(0.6, 0.3, 0.1), chances(0.1, 0.1, 0.8)])
    assert kept(both, 0.7, 20) == [[0, 1], [2]]


def test_the_surest_layer_by_hand() -> None:
    first = torch.cat([chances(0.5, 0.4, 0.1), chances(0.2, 0.2, 0.6)])
    second = torch.cat([chances(0.05, 0.6, 0.35), chances(0.9, 0.05, 0.05)])
    third = torch.cat([chances(0.05, 0.05, 0.9), chances(0.3, 0.6, 0.1)])
    among = torch.tensor([[True, True, False], [False, True, True]])
    # Row 0: .5 and .4; .05 and .6; .05 and .05, since .9 is no candidate. The second, p* = .6.
    # Row 1: .2 and .6; .05 and .05; .6 and .1. The first of equals, p* = .6.
    found, most = surest([first, second, third], among)
    assert torch.equal(found, torch.stack([second[0], first[1]]))
    assert most.tolist() == pytest.approx([0.6, 0.6])
    with pytest.raises(ValueError, match="needs a layer"):
        surest([], among)


def test_the_correction_by_hand() -> None:
    masks: list[Tensor] = []
    read: list[int] = []
    early = {2: chances(0.25, 0.5, 0.25), 3: chances(0.1, 0.1, 0.8)}

    def early_logits(layer: int, normed: bool = True) -> Mapping[str, Tensor]:
        assert normed
        read.append(layer)
        return {"main": early[layer], "other": torch.full((1, 3), 9.0)}

    at: Any = SimpleNamespace(forbid=masks.append, early=early_logits, n_layers=4)
    logits = {"main": chances(0.5, 0.45, 0.05), "other": torch.full((1, 3), 9.0)}
    deco = DeCo(DeCo.Params(layers=(2, 3), alpha=0.6))
    found = deco.next_token_logits(at, logits)
    # Candidates 0 and 1 (.5, .95). Layer 2 gives them at most .5, layer 3 .1. So p* = .5 and
    # log .5 + .6 * .5 log .25 = -.693147 - .415888, log .45 + .3 log .5 = -.798508 - .207944
    assert found[0, :2].tolist() == pytest.approx([-1.109035, -1.006452], abs=1e-5)
    assert masks[0].tolist() == [[False, False, True]]
    assert read == [2, 3]


def test_defaults() -> None:
    params = DeCo.resolve(DeCo.Params(), llava(num_hidden_layers=8))
    assert (params.alpha, params.top_p, params.top_k) == (0.6, 0.9, 20)
    assert params.layers == (5, 6, 7)
    assert [of_32(layer, 32) for layer in (20, 28)] == [20, 28]
    assert [of_32(layer, 40) for layer in (20, 28)] == [25, 35]
    assert DeCo.resolve(DeCo.Params(layers=(0,)), llava()).layers == (0,)


@pytest.mark.parametrize("layers", [(0, 4), (-1,)])
def test_layers_the_model_has_not_are_refused(layers: tuple[int, ...]) -> None:
    culprit = next(layer for layer in layers if layer != 0)
    with pytest.raises(UserError, match=f"'deco': layers names hidden state {culprit}; 'tiny-lla"):
        prepared("deco", llava(), layers=layers)


def test_a_head_that_reads_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = llava()
    forward = model.model.lm_head.forward
    calls: list[int] = []

    def shifting(hidden: Tensor) -> Tensor:
        calls.append(1)
        logits: Tensor = forward(hidden)
        return logits + len(calls) * torch.arange(68.0)

    monkeypatch.setattr(model.model.lm_head, "forward", shifting)
    with pytest.raises(UserError, match="method 'deco' reads logits off earlier layers"):
        prepared("deco", model)


@pytest.mark.parametrize("beams", [1, 3])
def test_prompts_in_a_batch_choose_for_themselves(beams: int) -> None:
    model = llava()
    method = prepared("deco", model, layers=(0, 1, 2, 3), alpha=3.0)
    together = answer(model, method, questions(model, 0, 1), beams)
    for row in (0, 1):
        alone = answer(model, method, questions(model, row), beams)
        finite = alone.logits[0].isfinite()
        assert torch.equal(together.logits[row].isfinite(), finite)
        assert torch.allclose(together.logits[row][finite], alone.logits[0][finite], atol=1e-4)
