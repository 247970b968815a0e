"""APC: where it cuts, what it leaves alone, and what it makes of beams and samples."""

from __future__ import annotations

from math import log
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from halluc.config import DecodingConfig
from halluc.interventions.compose import find
from halluc.methods.apc import APC
from halluc.testing import reply
from tests.kit.asking import answer, prepared, questions
from tests.kit.families import llava


def cut(logits: Tensor, **params: Any) -> Tensor:
    """What APC rules out; the logits come back as they are."""
    masks: list[Tensor] = []
    at: Any = SimpleNamespace(forbid=masks.append)
    assert APC(APC.Params(**params)).next_token_logits(at, {"main": logits}) is logits
    return masks[0]


def test_the_cut_by_hand() -> None:
    logits = torch.tensor([[5.0, 5 + log(0.21), 5 + log(0.19), -5.0]])
    assert cut(logits).tolist() == [[False, False, True, True]]
    assert cut(logits, beta=0.1).tolist() == [[False, False, False, True]]
    assert not cut(logits, beta=0.0).any()


def test_greedy_answers_are_the_baselines() -> None:
    model = llava()
    batch = questions(model, 0, 1)
    stock = answer(model, prepared("baseline", model), batch)
    found = answer(model, prepared("apc", model, beta=0.9), batch)
    assert torch.equal(found.tokens, stock.tokens)
    assert found.passes == stock.passes  # the code runs each pass twice


def test_samples_are_drawn_of_what_is_left() -> None:
    model = llava()
    batch = questions(model, 0, 1)
    drawn = DecodingConfig(do_sample=True, temperature=9.0, seed=1)
    greedy = answer(model, prepared("baseline", model), batch).tokens
    free = reply(model, prepared("baseline", model), batch, drawn)
    assert not torch.equal(free.tokens, greedy)
    # the cut is set before the temperature, which would make all tokens plausible
    held = reply(model, prepared("apc", model, beta=0.999), batch, drawn)
    assert torch.equal(held.tokens, greedy)


def test_beams_lose_what_is_cut() -> None:
    model = llava()
    batch = questions(model, 0, 1)
    greedy = answer(model, prepared("baseline", model), batch).tokens
    beams = answer(model, prepared("apc", model, beta=0.999), batch, beams=3).tokens
    width = min(beams.shape[1], greedy.shape[1])
    assert torch.equal(beams[:, :width], greedy[:, :width])


def test_it_cuts_what_another_method_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    model = llava()
    batch = questions(model, 0, 1)
    seen: list[Tensor] = []
    act = APC.next_token_logits

    def watched(self: APC, at: Any, logits: Any) -> Tensor:
        seen.append(logits["main"])
        return act(self, at, logits)

    monkeypatch.setattr(APC, "next_token_logits", watched)
    contrasted = answer(model, prepared("vcd", model), batch)
    for name in ("apc+vcd", "vcd+apc"):
        seen.clear()
        both = answer(model, prepared(name, model), batch)
        assert torch.allclose(both.logits, contrasted.logits)
        assert torch.allclose(seen[0], contrasted.logits, atol=1e-4)
    assert find("apc+vcd").decides(find("apc+vcd").parameters())
    assert not APC.decides(APC.Params())
