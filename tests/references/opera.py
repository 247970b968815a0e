"""OPERA (CVPR 2024, arXiv 2311.17911): beam search with an over-trust penalty and roll-backs.

Facts and sources: notes/opera.md. Beams are ranked and ended as transformers 5 does it, so that
without penalty, roll-back and candidate limit the answer is `generate(num_beams=...)`.
Both variants run in float32; the code's float16 products under- and overflow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from tests.references import plain_loop
from tests.references.plain_loop import Inputs

Variant = Literal["paper", "official_code"]
Pair = tuple[int, int]
"""A beam's number and the token that follows it."""


@dataclass(frozen=True)
class Settings:
    """The method's numbers; `most` is the paper's beta, None for what the variant says."""

    num_beams: int = 5
    n_candidates: int | None = 5
    scale: float = 50.0
    alpha: float = 1.0
    threshold: int | None = 15
    window: int = 512
    most: int | None = None
    length_penalty: float = 1.0
    image_steps: int = 10
    first_location: int = 10
    variant: Variant = "official_code"

    @property
    def rollbacks_per_position(self) -> int:
        """The code takes N_can, the paper says 5."""
        if self.most is not None:
            return self.most
        return 5 if self.variant == "paper" else self.n_candidates or 5


@dataclass(frozen=True)
class Beam:
    """A running or finished answer; `rows` are the logits that its tokens were taken from."""

    tokens: tuple[int, ...] = ()
    score: float = 0.0
    rows: tuple[Tensor, ...] = ()
    locations: tuple[int, ...] = ()  # the paper's c of each token


@dataclass(frozen=True)
class Step:
    """What was known before the step's tokens were chosen, and which were."""

    beams: list[Beam]
    finished: list[Beam]
    rows: list[Tensor]  # raw logits
    locations: list[int]  # the code's, one for each beam
    candidates: list[dict[int, int]]  # for each beam, each candidate's own location
    scored: list[Tensor]  # penalised candidates, -inf elsewhere
    chosen: frozenset[Pair] = frozenset()


@dataclass
class Search:
    """A whole search: the best answer, and each roll-back as (step, re-chosen position)."""

    best: Beam
    rollbacks: list[tuple[int, int]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)


def opera(
    model: Any, inputs: Inputs, *, n_tokens: int = 12, **settings: Any
) -> tuple[list[int], Tensor]:
    """Decode; the best beam's tokens and the logits [T, V] they were taken from.

    A row holds the penalised logits of the candidates and -inf elsewhere (the code: -999), or,
    after the code's roll-back, the raw logits without the excluded tokens. `n_candidates=None`
    makes the whole vocabulary a candidate; `threshold=None` never rolls back.
    """
    best = search(model, inputs, n_tokens=n_tokens, settings=Settings(**settings)).best
    return list(best.tokens), torch.stack(best.rows)


def search(model: Any, inputs: Inputs, *, n_tokens: int, settings: Settings) -> Search:
    """The search itself, its roll-backs and steps kept."""
    with plain_loop.eager(model), torch.no_grad():
        return _search(_Forward(model, inputs), plain_loop.ends_of(model), n_tokens, settings)


class _Forward:
    """The model: logits after tokens, and the last layer's attention."""

    def __init__(self, model: Any, inputs: Inputs) -> None:
        self.model, self.inputs = model, inputs
        self.start = inputs["input_ids"].shape[1]
        self.image = plain_loop.image_positions(model, inputs)

    def logits(self, tokens: Sequence[int]) -> Tensor:
        return plain_loop.next_logits(self.model, self.inputs, tokens)

    def attention(self, tokens: Sequence[int]) -> Tensor:
        """omega [T, T] of the last layer: the largest head, then rows that sum to 1."""
        output = plain_loop.forward(self.model, self.inputs, tokens, output_attentions=True)
        largest: Tensor = output.attentions[-1][0].float().amax(0)
        return largest / largest.sum(-1, keepdim=True)


def column_scores(attention: Tensor, *, scale: float = 50.0, window: int | None = None) -> Tensor:
    """prod_{i >= j} sigma omega_{i,j} for each column of the generated tokens' attention.

    With a window only the last rows and columns count; columns before it score 0.
    """
    size = len(attention)
    skipped = max(0, size - window) if window else 0
    local = scale * attention.double()[skipped:, skipped:]
    scores = torch.zeros(size, dtype=torch.float64)
    for j in range(len(local)):
        scores[skipped + j] = local[j:, j].prod()
    return scores


def penalty(attention: Tensor, image: Tensor, start: int, settings: Settings) -> tuple[float, int]:
    """A candidate's penalty, from the attention [T, T] with it appended, and its location c."""
    local = attention[start:, start:]
    if settings.variant == "paper":
        # phi(omega_{<=t}) = max_j prod_{i >= j} sigma omega_{i,j}, c its column
        scores = column_scores(local, scale=settings.scale, window=settings.window)
        return float(scores.max()), int(scores.argmax())
    # code: the product times 1e-7 over the whole answer ...
    scores = 1e-7 * column_scores(local, scale=settings.scale)
    location = int(scores.argmax())
    if len(local) <= settings.image_steps:
        # ... and for tokens 1 to 10 minus the attention on the image instead
        return -float(attention[-1, image].sum()), location
    return float(scores.max()), location


def mode(values: Sequence[int]) -> int:
    """The most frequent value, the smallest of several (torch.mode on a CPU)."""
    counts = Counter(values)
    return min(counts, key=lambda value: (-counts[value], value))


def agreed(histories: Sequence[Sequence[int]], now: int, threshold: int) -> bool:
    """The code's condition: more than `threshold` entries of every history are `now`."""
    return all(list(history).count(now) > threshold for history in histories)


def position_for(location: int, counts: Counter[int], most: int) -> int | None:
    """Where to choose anew, after x_s or, if that was done `most` times, after x_{s-1}."""
    for position in (location + 1, location):
        if counts[position] < most:
            return position
    return None


def _summary(steps: Sequence[Step], settings: Settings, previous: int) -> int | None:
    """The location s of a summary token that calls for a roll-back."""
    now, threshold = steps[-1], settings.threshold
    if threshold is None:
        return None
    if settings.variant == "official_code":
        # code: s is the mode now; all entries count, by the beam's number and not its ancestry
        location = mode(now.locations)
        # (of one beam at the first step, the code has as many copies as there are beams)
        histories = [
            [step.locations[min(i, len(step.locations) - 1)] for step in steps]
            for i in range(len(now.beams))
        ]
        ready = location >= settings.first_location and agreed(histories, location, threshold)
        return location if ready else None
    # N_overlap = sum_{c in C} 1[c = s] >= r, s = Mode(C), C over the last l = k tokens
    recent = [beam.locations[-settings.window :] for beam in now.beams]
    if not all(recent) or len({mode(locations) for locations in recent}) > 1:
        return None  # ours: all beams must agree, as in the code
    location = mode(recent[0])
    enough = all(locations.count(location) >= threshold for locations in recent)
    # "the rollback location s must be monotonically not decreasing"
    return location if enough and location >= previous else None


def _search(run: _Forward, ends: set[int], n_tokens: int, settings: Settings) -> Search:
    found = Search(Beam())
    counts: Counter[int] = Counter()
    rejected: dict[int, set[Pair]] = {}
    beams, finished, previous = [Beam()], list[Beam](), 0
    while True:
        found.steps.append(_look(run, beams, finished, settings))
        now = found.steps[-1]
        scored = now.scored
        location = _summary(found.steps, settings, previous)
        position = (
            None
            if location is None
            else position_for(location, counts, settings.rollbacks_per_position)
        )
        if position is not None and position < len(found.steps) - 1:
            excluded = rejected.get(position, set()) | found.steps[position].chosen
            target = found.steps[position]
            # paper: Y \ {x_{s+1}}; code: the raw logits of all tokens, without a penalty
            rows = target.scored if settings.variant == "paper" else target.rows
            anew = [_without(row, i, excluded) for i, row in enumerate(rows)]
            if any(row.isfinite().any() for row in anew):
                found.rollbacks.append((len(found.steps) - 1, position))
                counts[position] += 1
                previous = location or 0
                # back to {x_0, ..., x_s}, its beams with the scores they had then
                del found.steps[position + 1 :]
                now, scored = target, anew
                rejected[position] = excluded
                for other in [at for at in rejected if at > position]:
                    if settings.variant == "paper" or other == position + 1:
                        del rejected[other]  # code: those farther on are kept, by mistake
        beams, finished, chosen, done = _choose(now, scored, ends, n_tokens, settings)
        found.steps[-1] = Step(
            now.beams, now.finished, now.rows, now.locations, now.candidates, now.scored, chosen
        )
        if done:
            found.best = max(finished, key=lambda beam: beam.score)
            return found


def _look(run: _Forward, beams: list[Beam], finished: list[Beam], settings: Settings) -> Step:
    """Each beam's logits, its candidates and their penalties."""
    rows = [run.logits(beam.tokens) for beam in beams]
    if settings.alpha == 0 and settings.threshold is None:
        scored = [_only(row, _top(row, settings)) for row in rows]
        return Step(beams, finished, rows, [], [{} for _ in beams], scored)
    scored, locations, candidates = [], [], []
    for beam, row in zip(beams, rows, strict=True):
        # Y: the top N_can of the logits of each beam
        top = _top(row, settings)
        at: dict[int, int] = {}
        new = _only(row, top)
        for token in top:
            attention = run.attention([*beam.tokens, token])
            over_trust, at[token] = penalty(attention, run.image, run.start, settings)
            # p(x_t | x_<t) = Softmax[H(h_t) - alpha phi(w_<=t)], x_t in Y
            new[token] -= settings.alpha * over_trust
        scored.append(new)
        candidates.append(at)
        locations.append(mode(list(at.values())))
    return Step(beams, finished, rows, locations, candidates, scored)


def _top(row: Tensor, settings: Settings) -> list[int]:
    found: list[int] = row.topk(settings.n_candidates or len(row)).indices.tolist()
    return found


def _only(row: Tensor, tokens: list[int]) -> Tensor:
    kept = torch.full_like(row, -torch.inf)
    kept[tokens] = row[tokens]
    return kept


def _without(row: Tensor, beam: int, pairs: set[Pair] | frozenset[Pair]) -> Tensor:
    left = row.clone()
    left[[token for at, token in pairs if at == beam]] = -torch.inf
    return left


def _choose(
    step: Step, scored: list[Tensor], ends: set[int], n_tokens: int, settings: Settings
) -> tuple[list[Beam], list[Beam], frozenset[Pair], bool]:
    """transformers 5's beam search step: what runs on, what is finished, and whether all is."""
    beams, finished = step.beams, step.finished
    width, size = settings.num_beams, len(scored[0])
    length = len(beams[0].tokens) + 1
    norm = length**settings.length_penalty
    # the best continuations by the sum of log-probabilities, enough to go on if all end
    totals = torch.cat(
        [
            beam.score + row.log_softmax(-1) if row.isfinite().any() else row
            for beam, row in zip(beams, scored, strict=True)
        ]
    )
    count = min(max(2, 1 + len(ends)) * width, len(totals))
    running: list[tuple[Pair, Beam]] = []
    finished = list(finished)
    for rank, at in enumerate(totals.topk(count).indices.tolist()):
        total = float(totals[at])
        if total == -torch.inf:
            break  # ours: a beam that has no candidate left ends; in the code it runs on at -999
        number, token = divmod(at, size)
        parent = beams[number]
        located = step.candidates[number].get(token, len(parent.tokens))
        beam = Beam(
            (*parent.tokens, token),
            total,
            (*parent.rows, scored[number]),
            (*parent.locations, located),
        )
        if token in ends or length == n_tokens:
            if rank < width:  # only the best `width` may end
                finished.append(Beam(beam.tokens, total / norm, beam.rows, beam.locations))
        elif len(running) < width:
            running.append(((number, token), beam))
    finished = sorted(finished, key=lambda beam: -beam.score)[:width]
    # early_stopping=False: done if the best running beam, at its length, beats no finished one
    done = not running or (
        len(finished) == width and running[0][1].score / norm <= finished[-1].score
    )
    chosen = frozenset(pair for pair, _ in running)
    return [beam for _, beam in running], finished, chosen, done
