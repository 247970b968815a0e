"""Beams by hand: ranking, ending, going back; and a loop's rows after that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log
from typing import Any

import pytest
import torch
from torch import Tensor

from halluc.interventions.beam_search import (
    Beam,
    Beams,
    Options,
    Retries,
    Step,
    advance,
    go_on_from,
    search_beams,
)

INF = float("inf")


class FakeLoop:
    """A search loop whose logits are a function of each row's tokens; notes what is done to it."""

    def __init__(self, logits_of: Callable[[list[int]], Sequence[float]], size: int = 8) -> None:
        self.logits_of = logits_of
        self.part, self.beams, self.max_new_tokens, self.end_tokens = None, 1, size, [0]
        self.tokens = torch.zeros(1, 0, dtype=torch.long)
        self.done: list[Any] = []
        self._read()

    def _read(self) -> None:
        self.logits = torch.tensor([list(self.logits_of(row)) for row in self.tokens.tolist()])

    def step(self, tokens: Tensor) -> Tensor:
        self.done.append(tokens.tolist())
        self.tokens = torch.cat([self.tokens, tokens[:, None]], 1)
        self._read()
        return self.logits

    def fork(self, rows: Tensor) -> None:
        self.done.append(("fork", rows.tolist()))
        self.tokens = self.tokens[rows]
        self._read()

    def rollback(self, count: int) -> None:
        self.done.append(("back", count))
        self.tokens = self.tokens[:, : self.tokens.shape[1] - count]
        self._read()


def options(*rows: dict[int, float]) -> Options:
    """Options of each beam: probabilities by token; marks are ten times the token."""
    tokens = torch.tensor([list(row) for row in rows])
    logits = torch.tensor([[log(p) if p else -INF for p in row.values()] for row in rows])
    return Options(tokens, logits, tokens * 10)


def said(beams: Sequence[Beam]) -> list[tuple[tuple[int, ...], Any]]:
    return [(beam.tokens, pytest.approx(beam.score, abs=1e-6)) for beam in beams]


def test_the_best_continuations_go_on() -> None:
    now = Beams([Beam((1,), log(0.5), (9,)), Beam((2,), log(0.4), (9,))], [])
    made = advance(now, options({3: 0.6, 4: 0.4}, {5: 0.9, 6: 0.1}), 2, [], last=False)
    assert said(made.running) == [((2, 5), log(0.36)), ((1, 3), log(0.3))]
    assert [(beam.parent, beam.place) for beam in made.running] == [(1, 0), (0, 0)]
    assert [beam.marks for beam in made.running] == [(9, 50), (9, 30)]
    assert (made.finished, made.done) == ([], False)


def test_probabilities_are_of_the_options_alone() -> None:
    made = advance(Beams([Beam()], []), options({3: 0.2, 4: 0.2}), 2, [], last=False)
    assert said(made.running) == [((3,), log(0.5)), ((4,), log(0.5))]


def test_an_end_token_finishes_a_beam_by_its_length_and_another_takes_its_place() -> None:
    now = Beams([Beam((1,), log(0.5)), Beam((2,), log(0.1))], [])
    made = advance(now, options({0: 0.6, 4: 0.3, 5: 0.1}, {0: 0.5, 6: 0.4, 7: 0.1}), 2, [0], False)
    assert said(made.finished) == [((1, 0), log(0.3) / 2)]
    # of four continuations: .3 (ends), .15, .05 twice; one of the two that end is not in the best
    assert said(made.running)[0] == ((1, 4), log(0.15))
    assert len(made.running) == 2 and not made.done


def test_only_the_best_may_end() -> None:
    now = Beams([Beam()], [])
    made = advance(now, options({1: 0.5, 2: 0.3, 0: 0.2}), 2, [0], last=False)
    assert made.finished == [] and [beam.tokens for beam in made.running] == [(1,), (2,)]


def test_all_end_where_the_answer_is_cut() -> None:
    now = Beams([Beam((1,), log(0.5))], [Beam((0,), -9.0)])
    made = advance(now, options({3: 0.5, 4: 0.3, 5: 0.2}), 2, [0], last=True)
    assert said(made.finished) == [((1, 3), log(0.25) / 2), ((1, 4), log(0.15) / 2)]
    assert made.done and not made.running


@pytest.mark.parametrize(("worst", "done"), [(-0.4, True), (-0.6, False)])
def test_done_once_no_running_beam_beats_the_finished(worst: float, done: bool) -> None:
    now = Beams([Beam((1,), -0.5)], [Beam((0,), -0.1), Beam((1, 0), worst)])
    made = advance(now, options({3: 0.6, 4: 0.4}), 2, [0], last=False)
    # the best running one stands at (-0.5 + log 0.6) / 2 = -0.505
    assert made.done is done
    few = advance(
        now._replace(finished=[Beam((0,), -0.1)]), options({3: 0.6, 4: 0.4}), 2, [0], False
    )
    assert not few.done  # a place among the finished is free


def test_what_is_ruled_out_never_runs() -> None:
    now = Beams([Beam((1,), -1.0), Beam((2,), -2.0)], [])
    made = advance(now, options({3: 1.0, 4: 0.0}, {5: 0.0, 6: 0.0}), 2, [], last=False)
    assert said(made.running) == [((1, 3), -1.0)] and not made.done
    none = advance(now, options({3: 0.0, 4: 0.0}, {5: 0.0, 6: 0.0}), 2, [], last=False)
    assert none == Beams([], [], True)


def test_pairs_are_excluded_by_beam_and_token() -> None:
    given = options({3: 0.5, 4: 0.5}, {4: 0.5, 3: 0.5})
    left = given.without([(0, 4), (1, 3)])
    assert left.logits.isfinite().tolist() == [[True, False], [True, False]]
    assert given.logits.isfinite().all()


def flat(_: list[int]) -> list[float]:
    return [0.0] * 8


def at(*rows: list[int]) -> FakeLoop:
    loop = FakeLoop(flat)
    loop.tokens = torch.tensor(rows)
    loop._read()
    return loop


def test_rows_go_back_as_far_as_they_must() -> None:
    loop = at([1, 2, 3], [1, 4, 5])
    go_on_from(loop, [(1, 4), (1, 2)])  # type: ignore[arg-type]
    assert loop.done == [("fork", [1, 0]), ("back", 1)]
    assert loop.tokens.tolist() == [[1, 4], [1, 2]]
    loop = at([1, 2, 3], [1, 4, 5])
    go_on_from(loop, [(1, 2), (1, 6)])  # type: ignore[arg-type]
    assert loop.done == [("fork", [0, 0]), ("back", 2), [2, 6]]
    loop = at([1, 2, 3])
    go_on_from(loop, [(7, 6)])  # type: ignore[arg-type]
    assert loop.done == [("fork", [0]), ("back", 3), [7], [6]]
    assert loop.tokens.tolist() == [[7, 6]]


def history(*tokens: int) -> list[Step]:
    """Steps of one beam that wrote these tokens; options are the token and 7."""
    return [
        Step(Beams([Beam(tokens[:n])], []), options({token: 0.9, 7: 0.1}))
        for n, token in enumerate(tokens)
    ] + [Step(Beams([Beam(tokens)], []), options({1: 1.0, 7: 0.5}))]


def test_going_back_chooses_the_next_token_anew() -> None:
    loop, steps, retries = at([1, 2, 3, 4, 5]), history(1, 2, 3, 4), Retries(most=1)
    again = retries.go_back(loop, steps, 1)  # type: ignore[arg-type]
    assert again is not None and len(steps) == 3 and loop.tokens.tolist() == [[1, 2]]
    assert again.tokens.tolist() == [[3, 7]]
    assert again.logits.isfinite().tolist() == [[False, True]]  # 3 was chosen
    assert retries.excluded == {2: {(0, 3)}} and retries.counts == {2: 1}


def test_a_place_that_is_used_up_gives_way_to_the_one_before_it_and_then_to_none() -> None:
    retries = Retries(most=1)
    places = []
    for _ in range(3):
        steps = history(1, 2, 3, 4)
        if retries.go_back(at([1, 2, 3, 4, 5]), steps, 1) is not None:  # type: ignore[arg-type]
            places.append(len(steps) - 1)
    assert places == [2, 1] and retries.counts == {2: 1, 1: 1}


def test_every_earlier_try_at_a_place_stays_excluded() -> None:
    retries = Retries(most=5)
    for tokens, left in (((1, 2, 3, 4), [False, True]), ((1, 2, 7, 4), None)):
        loop, steps = at([*tokens, 5]), history(*tokens)
        steps[2] = Step(steps[2].beams, options({3: 0.9, 7: 0.1}))
        again = retries.go_back(loop, steps, 1)  # type: ignore[arg-type]
        found = None if again is None else again.logits[0].isfinite().tolist()
        assert found == left  # both options are used up: nothing is changed
    assert len(steps) == 5 and retries.counts == {2: 1} and retries.excluded == {2: {(0, 3)}}


def test_the_newest_token_is_not_gone_back_to() -> None:
    for token, taken in ((3, False), (2, True)):
        steps = history(1, 2, 3, 4)
        again = Retries(most=1).go_back(at([1, 2, 3, 4, 5]), steps, token)  # type: ignore[arg-type]
        assert (again is not None) is taken


def test_all_tokens_are_options_with_the_models_own_logits() -> None:
    loop, steps = at([1, 2, 3, 4, 5]), history(1, 2, 3, 4)
    loop.logits_of = lambda row: [float(len(row))] * 8
    again = Retries(most=1, whole=True).go_back(loop, steps, 1)  # type: ignore[arg-type]
    assert again is not None and again.tokens.tolist() == [list(range(8))]
    assert again.logits.tolist() == [[2.0, 2.0, 2.0, -INF, 2.0, 2.0, 2.0, 2.0]]


@pytest.mark.parametrize(("forgets_all", "left"), [(True, {0, 2}), (False, {0, 2, 4})])
def test_what_was_excluded_later_is_forgotten(forgets_all: bool, left: set[int]) -> None:
    retries = Retries(most=1, forgets_all=forgets_all)
    retries.excluded = {place: {(0, 9)} for place in (0, 3, 4)}
    retries.go_back(at([1, 2, 3, 4, 5]), history(1, 2, 3, 4), 1)  # type: ignore[arg-type]
    assert set(retries.excluded) == left


def test_the_whole_search_and_a_roll_back_in_it() -> None:
    """One beam writes 1 2 3; at the third step it goes back behind 1 and takes 4 there."""
    best = {(): 1, (1,): 2, (1, 2): 3, (1, 4): 5, (1, 4, 5): 0}
    loop = FakeLoop(
        lambda row: [9.0 if t == best.get(tuple(row), 6) else float(-t) for t in range(8)]
    )
    went: list[int] = []
    retries = Retries(most=1)

    def look(beams: Beams) -> Options:
        logits, tokens = loop.logits.topk(2)
        if len(beams.running[0].tokens) == 1:
            tokens = torch.tensor([[2, 4]])
        loop.fork(torch.tensor([0, 0]))
        loop.step(tokens[0])
        return Options(tokens, logits, tokens)

    def go_back(steps: list[Step]) -> Options | None:
        if len(steps) == 3 and not went:
            went.append(len(steps))
            return retries.go_back(loop, steps, 0)  # type: ignore[arg-type]
        return None

    assert search_beams(loop, 1, look, go_back) == [1, 4, 5, 0]  # type: ignore[arg-type]
    assert went == [3]


def test_an_answer_is_cut_where_the_run_says() -> None:
    loop = FakeLoop(lambda row: [-9.0, 2.0, 1.0, 0.0], size=3)

    def look(beams: Beams) -> Options:
        logits, tokens = loop.logits.topk(2)
        loop.fork(torch.arange(len(tokens)).repeat_interleave(2))
        loop.step(tokens.flatten())
        return Options(tokens, logits, tokens)

    assert search_beams(loop, 2, look, lambda steps: None) == [1, 1, 1]  # type: ignore[arg-type]
