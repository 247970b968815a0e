"""Beam search that can go back: beams are ranked and ended as transformers does it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions.search_loop import SearchLoop


@dataclass(frozen=True)
class Beam:
    """A running or a finished answer.

    Attributes:
        tokens: What it says.
        score: Sum of its log-probabilities; once it is finished, divided by its length.
        marks: What the method notes of each token.
        parent: Number of the beam it continues.
        place: Which of that beam's options its last token was.
    """

    tokens: tuple[int, ...] = ()
    score: float = 0.0
    marks: tuple[int, ...] = ()
    parent: int = 0
    place: int = 0


class Options(NamedTuple):
    """Tokens that may continue each beam.

    Attributes:
        tokens: Ids, int [B, C].
        logits: Log-probabilities are made of these C alone [B, C]; -inf rules a token out.
        marks: What to note of each, int [B, C].
    """

    tokens: Tensor
    logits: Tensor
    marks: Tensor

    def without(self, pairs: Collection[tuple[int, int]]) -> Options:
        """Rule (number of the beam, token) pairs out."""
        logits = self.logits.clone()
        for beam, token in pairs:
            logits[beam, self.tokens[beam] == token] = -float("inf")
        return self._replace(logits=logits)


class Beams(NamedTuple):
    """Beams after a step, the best first.

    Attributes:
        running: At most as many as asked for, none of them ended.
        finished: At most as many, by score.
        done: Whether nothing better can come.
    """

    running: list[Beam]
    finished: list[Beam]
    done: bool = False


class Step(NamedTuple):
    """Beams, and what may continue them."""

    beams: Beams
    options: Options


def search_beams(
    loop: SearchLoop,
    width: int,
    look: Callable[[Beams], Options],
    go_back: Callable[[list[Step]], Options | None],
) -> list[int]:
    """Search with beams whose options are fed a step ahead; return the best answer's tokens.

    Args:
        width: Number of beams.
        look: Gives the loop one row for each option of each beam, in their order, and says which
            those are.
        go_back: Given all steps, may drop the last ones, put the loop's rows where the last step
            left is, one for each beam, and say what continues them now.
    """
    steps: list[Step] = []
    beams = Beams([Beam()], [])
    while not beams.done:
        steps.append(Step(beams, look(beams)))
        again = go_back(steps)
        now, options = steps[-1]
        last = len(steps) == loop.max_new_tokens
        beams = advance(now, again or options, width, loop.end_tokens, last)
        if beams.done:
            continue
        if again:
            loop.fork(loop.tokens.new_tensor([beam.parent for beam in beams.running]))
            loop.step(loop.tokens.new_tensor([beam.tokens[-1] for beam in beams.running]))
        else:
            each = options.tokens.shape[1]
            rows = [beam.parent * each + beam.place for beam in beams.running]
            loop.fork(loop.tokens.new_tensor(rows))
    return list(max(beams.finished or now.running, key=lambda beam: beam.score).tokens)


def advance(now: Beams, options: Options, width: int, ends: Collection[int], last: bool) -> Beams:
    """Take one step of transformers' beam search (length penalty 1, no early stopping).

    Args:
        width: Number of beams.
        ends: Tokens that end an answer.
        last: Whether every answer ends here.
    """
    import torch

    scores = options.logits.new_tensor([beam.score for beam in now.running])[:, None]
    totals = (scores + options.logits.log_softmax(-1)).nan_to_num(nan=-torch.inf, neginf=-torch.inf)
    best = totals.flatten().topk(min(max(2, 1 + len(ends)) * width, totals.numel()))
    length = len(now.running[0].tokens) + 1
    running: list[Beam] = []
    finished = list(now.finished)
    for rank, (total, at) in enumerate(zip(*(part.tolist() for part in best), strict=True)):
        if total == -torch.inf:
            break  # fewer options than beams: those without one end here
        parent, place = divmod(at, totals.shape[1])
        token, mark = (int(part[parent, place]) for part in (options.tokens, options.marks))
        tokens = (*now.running[parent].tokens, token)
        marks = (*now.running[parent].marks, mark)
        if last or token in ends:
            if rank < width:  # only the best may end
                finished.append(Beam(tokens, total / length, marks, parent, place))
        elif len(running) < width:
            running.append(Beam(tokens, total, marks, parent, place))
    finished = sorted(finished, key=lambda beam: -beam.score)[:width]
    full = len(finished) == width
    done = not running or (full and running[0].score / length <= finished[-1].score)
    return Beams(running, finished, done)


def go_on_from(loop: SearchLoop, sequences: Sequence[Sequence[int]]) -> None:
    """Give the loop one row for each of these token sequences, all of one length.

    What no row has read, or has read behind other tokens, is read again.
    """
    rows = loop.tokens.tolist()
    size = len(sequences[0])
    wanted = [list(sequence) for sequence in sequences]

    def holders(count: int) -> list[list[int]]:
        return [
            [row for row, tokens in enumerate(rows) if tokens[:count] == own[:count]]
            for own in wanted
        ]

    shared = next(n for n in range(min(size, len(rows[0])), -1, -1) if all(holders(n)))
    loop.fork(loop.tokens.new_tensor([holder[0] for holder in holders(shared)]))
    loop.rollback(len(rows[0]) - shared)
    for at in range(shared, size):
        loop.step(loop.tokens.new_tensor([own[at] for own in wanted]))


@dataclass
class Retries:
    """Goes back to where a token was chosen, and excludes what was chosen there before.

    Attributes:
        most: How often a place may be chosen anew.
        whole: Whether all tokens are options then, with the model's own logits.
        forgets_all: Whether what was excluded at all later places is forgotten, or at the next.
        counts: How often each place was chosen anew.
        excluded: The (number of the beam, token) pairs that are excluded at each place.
    """

    most: int
    whole: bool = False
    forgets_all: bool = True
    counts: Counter[int] = field(default_factory=Counter)
    excluded: dict[int, set[tuple[int, int]]] = field(default_factory=dict)

    def go_back(self, loop: SearchLoop, steps: list[Step], token: int) -> Options | None:
        """Go back to the place behind a token of the answer or, if that is used up, before it.

        Returns:
            What may stand there instead; None, and nothing is changed, if nothing may.
        """
        free = [at for at in (token + 1, token) if self.counts[at] < self.most]
        if not free or free[0] >= len(steps) - 1:
            return None
        place = free[0]
        beams, options = steps[place]
        chosen = {(beam.parent, beam.tokens[-1]) for beam in steps[place + 1].beams.running}
        out = self.excluded.get(place, set()) | chosen
        if not self.whole and not options.without(out).logits.isfinite().any():
            return None
        del steps[place + 1 :]
        go_on_from(loop, [beam.tokens for beam in beams.running])
        if self.whole:
            every = loop.tokens.new_tensor(range(loop.logits.shape[1])).expand_as(loop.logits)
            options = Options(every, loop.logits.double(), every)
        gone = range(place + 1, loop.max_new_tokens if self.forgets_all else place + 2)
        self.excluded = {at: pairs for at, pairs in self.excluded.items() if at not in gone}
        self.excluded[place] = out
        self.counts[place] += 1
        return options.without(out)
