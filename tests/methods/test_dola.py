"""DoLa: candidates, divergences and the chosen layer by hand, and what is read off early layers."""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from halluc.errors import UserError
from halluc.methods.dola import DoLa, bucket_of, divergence, furthest
from halluc.models import VisionLanguageModel
from tests.kit.asking import answer, prepared, questions
from tests.kit.families import build, llava


def test_buckets() -> None:
    assert bucket_of(32, "low") == tuple(range(0, 15, 2))
    assert bucket_of(32, "high") == tuple(range(16, 31, 2))
    assert bucket_of(40, "low") == tuple(range(0, 19, 2))
    assert bucket_of(40, "high") == tuple(range(20, 39, 2))
    assert bucket_of(60, "low") == tuple(range(0, 19, 2))
    assert bucket_of(60, "high") == tuple(range(40, 59, 2))
    assert (bucket_of(28, "low")[-1], bucket_of(28, "high")[0]) == (12, 14)
    assert (bucket_of(4, "low"), bucket_of(4, "high")) == ((0,), (2,))


def test_divergences_by_hand() -> None:
    last, early = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.9, 0.1]]).log()
    # M = (.7, .3). KL(q_L || M) = .5 log(.5 / .7) + .5 log(.5 / .3) = .087177,
    # KL(q_j || M) = .9 log(.9 / .7) + .1 log(.1 / .3) = .116322
    assert divergence(last, early, "paper").tolist() == pytest.approx([0.101749], abs=1e-6)
    # KL(M || q_L) = .7 log(.7 / .5) + .3 log(.3 / .5) = .082283,
    # KL(M || q_j) = .7 log(.7 / .9) + .3 log(.3 / .1) = .153664
    assert divergence(last, early, "official_code").tolist() == pytest.approx([0.117973], abs=1e-6)


def chances(*values: float) -> Tensor:
    return torch.tensor([values]).log()


def test_each_row_has_a_layer_of_its_own() -> None:
    last = torch.cat([chances(0.5, 0.4, 0.1), chances(0.1, 0.1, 0.8)])
    near, far = chances(0.5, 0.3, 0.2), chances(0.05, 0.05, 0.9)
    early = [torch.cat([near, far]), torch.cat([far, near]), torch.cat([near, near])]
    found, place = furthest(last, early, "paper")
    # from .1, .1, .8 the first half is furthest off, twice: the earlier of equals
    assert place.tolist() == [1, 1]
    assert torch.equal(found, torch.cat([far, near]))
    assert furthest(last, early[:1] + early[2:], "paper")[1].tolist() == [0, 1]
    assert furthest(last[:1], [near, near], "paper")[1].tolist() == [0]


def test_the_variants_choose_different_layers() -> None:
    last = chances(0.25, 0.25, 0.25, 0.25)
    # A token that the early layer nearly rules out weighs more in KL(M || q_j).
    rare, broad = chances(0.333, 0.333, 0.3339, 0.0001), chances(0.7, 0.1, 0.1, 0.1)
    assert furthest(last, [rare, broad], "paper")[1].tolist() == [1]
    assert furthest(last, [rare, broad], "official_code")[1].tolist() == [0]


def test_the_contrast_by_hand() -> None:
    masks: list[Tensor] = []
    read: list[tuple[int, bool]] = []
    early = {0: chances(0.5, 0.4, 0.1) + 3, 2: chances(0.1, 0.1, 0.8)}

    def early_logits(layer: int, normed: bool = True) -> Mapping[str, Tensor]:
        read.append((layer, normed))
        return {"main": early[layer], "other": torch.full((1, 3), 9.0)}

    at: Any = SimpleNamespace(forbid=masks.append, early=early_logits, n_layers=4)
    logits = {"main": chances(0.5, 0.45, 0.05) + 1, "other": torch.full((1, 3), 9.0)}
    found = DoLa(DoLa.Params(layers=(0, 2), relative_top=0.2)).next_token_logits(at, logits)
    # log .5 / .1, log .45 / .1, log .05 / .8
    expected = [log(5), log(4.5), log(0.0625)]
    assert (found.log_softmax(-1) - torch.tensor([expected]).log_softmax(-1)).abs().max() < 1e-5
    assert read == [(0, True), (2, True)]
    assert masks[0].tolist() == [[False, False, True]]
    DoLa(DoLa.Params(layers=(2,), variant="official_code")).next_token_logits(at, logits)
    assert read[2:] == [(2, False)]


def test_defaults() -> None:
    params = DoLa.resolve(DoLa.Params(), llava(num_hidden_layers=8))
    assert (params.variant, params.relative_top, params.weight) == ("paper", 0.1, 1.0)
    assert params.layers == (0, 2)
    high = DoLa.resolve(DoLa.Params(bucket="high"), llava(num_hidden_layers=8))
    assert high.layers == (4, 6)


def candidates(model: VisionLanguageModel, **params: Any) -> tuple[int, ...]:
    found: Any = prepared("dola", model, **params).params
    layers: tuple[int, ...] = found.layers
    return layers


def test_no_candidate_that_gives_the_token_back() -> None:
    tied = build("qwen2_5_vl")
    assert candidates(tied) == (0,)
    tied.model.lm_head.weight = tied.model.get_input_embeddings().weight
    assert candidates(tied) == (0,)  # there is no other
    assert candidates(tied, bucket="high") == (2,)
    longer = llava(num_hidden_layers=8)
    longer.model.lm_head.weight = longer.model.get_input_embeddings().weight
    assert candidates(longer) == (2,)
    assert candidates(longer, layers=(0, 2)) == (0, 2)


@pytest.mark.parametrize("layers", [(0, 4), (-1,)])
def test_layers_the_model_has_not_are_refused(layers: tuple[int, ...]) -> None:
    culprit = next(layer for layer in layers if layer != 0)
    with pytest.raises(UserError, match=f"names hidden state {culprit}; 'tiny-llava' has 0 to 3"):
        prepared("dola", llava(), layers=layers)


def test_a_head_that_reads_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = llava()
    forward = model.model.lm_head.forward
    calls: list[int] = []

    def shifting(hidden: Tensor) -> Tensor:
        calls.append(1)
        logits: Tensor = forward(hidden)
        return logits + len(calls) * torch.arange(68.0)

    monkeypatch.setattr(model.model.lm_head, "forward", shifting)
    with pytest.raises(UserError, match="method 'dola' reads logits off earlier layers"):
        prepared("dola", model)


def test_prompts_in_a_batch_choose_for_themselves() -> None:
    model = llava()
    method = prepared("dola", model, layers=(0, 1, 2, 3))
    together = answer(model, method, questions(model, 0, 1))
    alone = [answer(model, method, questions(model, row)) for row in (0, 1)]
    for row, one in enumerate(alone):
        assert torch.allclose(together.logits[row], one.logits[0], atol=1e-4)
