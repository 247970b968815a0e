"""What happens to next-token logits: the method, then onlookers, then what it rules out."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from halluc.config import DecodingConfig
from halluc.decoding.generation import generate
from halluc.decoding.logits_processors import Forbid, MethodLogits, YesNo
from halluc.interventions import At, Method
from halluc.models import VisionLanguageModel
from tests.kit.asking import answer, prepared, questions
from tests.kit.families import llava

MADE = torch.tensor([[3.0, 1.0, -2.0, 5.0], [0.0, 9.0, 4.0, 4.0]])
RULED_OUT = torch.tensor([[False, False, False, True], [False, True, False, False]])


@cache
def model() -> VisionLanguageModel:
    return llava()


def chain(normalise: bool, streams: tuple[str, ...] = ("main",)) -> tuple[MethodLogits, Forbid]:
    """The processors of a method that makes and rules out what is written above."""
    engine: Any = SimpleNamespace(
        memory=SimpleNamespace(streams=streams), next_token_logits=lambda scores: (MADE, RULED_OUT)
    )
    made = MethodLogits(engine)
    return made, Forbid(made, normalise)


IDS = torch.zeros(2, 1, dtype=torch.long)


def test_beams_are_handed_log_probabilities_of_what_is_left() -> None:
    made, forbid = chain(normalise=True)
    found = forbid(IDS, made(IDS, torch.randn(2, 4)))
    assert torch.allclose(found.exp().sum(-1), torch.ones(2))
    assert torch.equal(found.isinf(), RULED_OUT)
    left = torch.tensor([3.0, 1.0, -2.0]).softmax(0)  # 5 is ruled out
    assert torch.allclose(found[0, :3].exp(), left)


def test_without_beams_scores_stay_as_the_method_makes_them() -> None:
    made, forbid = chain(normalise=False)
    found = forbid(IDS, made(IDS, torch.randn(2, 4)))
    assert torch.equal(found, MADE.masked_fill(RULED_OUT, float("-inf")))


def test_all_streams_are_handed_the_same_row() -> None:
    made, forbid = chain(normalise=False, streams=("main", "other"))
    four = torch.zeros(4, 1, dtype=torch.long)
    found = forbid(four, made(four, torch.randn(4, 4)))
    assert torch.equal(found[:2], found[2:])


class Shifted(Method):
    """Adds a number to all logits of a row, which depends on the token before."""

    name = "shifted"

    def next_token_logits(self, at: At, logits: Mapping[str, Tensor]) -> Tensor:
        if at.step == 0:
            return logits["main"]
        return logits["main"] + 40.0 * (at.generated[:, -1:] % 3)


def test_a_number_added_to_a_whole_row_moves_no_beam() -> None:
    batch = questions(model(), 0, 1)
    found = answer(model(), Shifted(Shifted.Params()), batch, beams=3).tokens
    assert torch.equal(found, answer(model(), prepared("baseline", model()), batch, beams=3).tokens)


class NoYes(Method):
    """Rules out every token the model finds likely, "yes" and "no" among them."""

    name = "no-yes"

    def next_token_logits(self, at: At, logits: Mapping[str, Tensor]) -> Tensor:
        at.forbid(logits["main"] > logits["main"].median(-1, keepdim=True).values)
        yes, no = at.model.yes_no_tokens or ((), ())
        named = torch.zeros_like(logits["main"]).bool()
        named[:, [*yes, *no]] = True
        at.forbid(named)
        return logits["main"]


@pytest.mark.parametrize("beams", [1, 3])
def test_yes_and_no_are_read_before_they_are_ruled_out(beams: int) -> None:
    batch, tokens = questions(model(), 0, 1), model().yes_no_tokens
    assert tokens is not None

    def chances(method: Method) -> tuple[list[tuple[float, float]], Tensor]:
        yes_no, decoding = YesNo(tokens), DecodingConfig(num_beams=beams)
        made = generate(model(), method, batch, decoding, max_new_tokens=1, watch=[yes_no])
        return yes_no.found, made.tokens

    stock, _ = chances(prepared("baseline", model()))
    found, written = chances(NoYes(NoYes.Params()))
    for one, other in zip(found, stock, strict=True):
        assert one == pytest.approx(other, abs=1e-4)
    assert not torch.isin(written, torch.tensor([*tokens[0], *tokens[1]])).any()


def test_each_of_two_masks_rules_its_tokens_out() -> None:
    batch = questions(model(), 0, 1)
    stock = answer(model(), prepared("baseline", model()), batch, tokens=1).logits
    written = answer(model(), NoYes(NoYes.Params()), batch, tokens=1).tokens
    likely = stock > stock.median(-1, keepdim=True).values
    assert not likely.gather(1, written[:, :1]).any()


@pytest.mark.parametrize("beams", [1, 3])
def test_a_row_that_has_ended_is_not_counted_while_others_go_on(beams: int) -> None:
    made, batch = llava(), questions(model(), 0, 1)
    baseline = prepared("baseline", made)
    first, second = answer(made, baseline, batch, beams).tokens.tolist()
    end = next(token for token in first[:3] if token not in second)
    made.model.generation_config.eos_token_id = end
    found = answer(made, baseline, batch, beams)
    alone = [answer(made, baseline, questions(made, row), beams).passes[0] for row in (0, 1)]
    assert found.passes == alone
    if beams == 1:
        assert found.passes == [first.index(end) + 1, 6]
