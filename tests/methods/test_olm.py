"""OLM: when it answers Yes, on which tokens, and what it says before others rule Yes out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from halluc.errors import UserError
from halluc.interventions import At
from halluc.interventions.compose import find
from halluc.interventions.context import Forbidden
from halluc.methods.olm import OLM, undecided
from tests.kit.asking import answer, prepared, questions
from tests.kit.families import llava

YES, NO, SPACED, SMALL, OTHER = range(5)


@pytest.mark.parametrize(
    ("yes", "no", "found"),
    [
        (0.30, 0.40, True),  # leans to No, by less than half
        (0.40, 0.30, True),
        (0.75, 0.24, False),  # apart by .51
        (0.24, 0.75, False),
        (0.70, 0.25, True),
        (0.05, 0.10, False),  # together .15: something else is being said
        (0.11, 0.10, True),
        (0.125, 0.125, True),
    ],
)
def test_when_the_answer_is_open(yes: float, no: float, found: bool) -> None:
    assert undecided(torch.tensor([yes]), torch.tensor([no]), 0.2, 0.5).tolist() == [found]


def test_both_comparisons_are_strict() -> None:
    # exact in binary: .125 + .125 and .75 - .25
    edge = torch.tensor([0.125, 0.75]), torch.tensor([0.125, 0.25])
    assert undecided(*edge, mass=0.25, gap=0.5).tolist() == [False, False]
    assert undecided(*edge, mass=0.2499, gap=0.5001).tolist() == [True, True]


def test_defaults() -> None:
    params = OLM.Params()
    assert (params.mass, params.gap, params.variant) == (0.2, 0.5, "paper")


def loaded(**params: Any) -> OLM:
    """OLM on a vocabulary of Yes, No, another spelling of Yes, yes and something else."""
    words = ["Yes", "No", " Yes", "yes", "dog"]
    tokenizer = SimpleNamespace(decode=lambda ids: words[ids[0]])
    model: Any = SimpleNamespace(
        name="m", processor=SimpleNamespace(tokenizer=tokenizer),
        yes_no_tokens=([YES, SPACED, SMALL], [NO]),
    )  # fmt: skip
    method = OLM(OLM.Params(**params))
    method.load(model)
    return method


def forced(chances: list[list[float]], step: int = 0, **params: Any) -> list[list[int]]:
    """The tokens left of each row."""
    masks: list[Tensor] = []
    at: Any = SimpleNamespace(forbid=masks.append, step=step)
    logits = torch.tensor(chances).log()
    assert loaded(**params).next_token_logits(at, {"main": logits}) is logits
    ruled_out = masks[0] if masks else torch.zeros(logits.shape).bool()
    return [(~row).nonzero()[:, 0].tolist() for row in ruled_out]


ALL = [YES, NO, SPACED, SMALL, OTHER]


def test_yes_is_all_that_is_left() -> None:
    open_, decided = [0.2, 0.4, 0.1, 0.1, 0.2], [0.1, 0.8, 0.02, 0.02, 0.06]
    assert forced([open_, decided]) == [[YES], ALL]


def test_the_likelier_spelling_is_forced_and_all_capital_ones_count() -> None:
    assert forced([[0.05, 0.1, 0.1, 0.05, 0.7]]) == [[SPACED]]  # together .25, and dog likelier
    assert forced([[0.05, 0.1, 0.01, 0.8, 0.04]]) == [ALL]  # small letters do not count: .16


def test_only_the_first_token_unless_it_is_the_code() -> None:
    open_ = [[0.3, 0.4, 0.1, 0.1, 0.1]]
    assert forced(open_, step=1) == [ALL]
    assert forced(open_, step=1, variant="official_code") == [[YES]]
    assert forced(open_, variant="official_code") == [[YES]]


@pytest.mark.parametrize("found", [None, ([SMALL], [NO])])
def test_a_tokenizer_without_the_words_is_refused(found: Any) -> None:
    model: Any = SimpleNamespace(name="silent", yes_no_tokens=found, processor=SimpleNamespace())
    model.processor.tokenizer = SimpleNamespace(decode=lambda ids: "yes")
    with pytest.raises(UserError, match=r"'olm' answers Yes in one token.*'silent' has no token"):
        OLM(OLM.Params()).load(model)


def test_the_engine_answers_yes_once() -> None:
    model = llava()
    batch = questions(model, 0, 1)
    yes = model.processor.tokenizer.convert_tokens_to_ids("Yes")
    stock = answer(model, prepared("baseline", model), batch)
    found = answer(model, prepared("olm", model, mass=0.0, gap=1.0), batch)
    assert torch.allclose(found.logits, stock.logits)  # as they are recorded
    assert found.tokens[:, 0].tolist() == [yes, yes]
    assert found.tokens.shape[1] > 1 and not (found.tokens[:, 1] == yes).all()
    every = answer(model, prepared("olm", model, mass=0, gap=1, variant="official_code"), batch)
    assert (every.tokens == yes).all()


def test_masks_that_leave_no_token_give_way_to_the_last() -> None:
    first = torch.tensor([[True, False, False], [True, False, True]])
    last = torch.tensor([[False, False, True], [False, True, True]])

    def joined(*masks: Tensor) -> list[list[bool]]:
        at: Any = SimpleNamespace(forbidden=Forbidden())
        for mask in masks:
            At.forbid(at, mask)
        rows: list[list[bool]] = at.forbidden.tokens.tolist()
        return rows

    assert joined(first) == first.tolist()
    assert joined(first, last) == [[True, False, True], [False, True, True]]
    assert joined(last, first) == [[True, False, True], [True, False, True]]


@pytest.mark.parametrize("beams", [1, 2])
@pytest.mark.parametrize("name", ["apc+olm", "vcd+olm", "olm+vcd"])
def test_yes_is_forced_though_another_part_rules_it_out(name: str, beams: int) -> None:
    model = llava()
    batch = questions(model, 0, 1)
    yes = model.processor.tokenizer.convert_tokens_to_ids("Yes")
    sharp = {"apc.beta": 1.0} if "apc" in name else {"vcd.beta": 1.0}
    method = find(name).for_model(model, {"olm.mass": 0.0, "olm.gap": 1.0} | sharp)
    assert answer(model, method, batch, beams).tokens[:, 0].tolist() == [yes, yes]
