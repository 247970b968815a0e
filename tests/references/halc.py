"""HALC, focal contrast and a beam ranked by matching (arXiv 2403.00425; BillChan226/HALC 12ea8b5).

One question, no cache: every pass reads prompt and answer as a whole.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from tests.references.plain_loop import eager, ends_of, next_logits

Corners = tuple[float, float, float, float]


class Task(NamedTuple):
    """The question, and what a search for its answer asks others.

    Attributes:
        image: The picture.
        encode: Makes model inputs of the question about another picture.
        read: Says tokens in words.
        things: By word, the name that is looked for.
        detect: Corners and score of boxes around a name, in pixels, the likeliest first.
        match: How well texts fit the picture.
        unknown: The unknown token.
    """

    image: Image.Image
    encode: Callable[[Image.Image], Any]
    read: Callable[[Sequence[int]], str]
    things: dict[str, str]
    detect: Callable[[str], list[tuple[float, ...]]]
    match: Callable[[list[str]], list[float]]
    unknown: int


class Line(NamedTuple):
    """One answer: its tokens, how many stay, which stand for nothing, whether it is over."""

    tokens: tuple[int, ...] = ()
    fixed: int = 0
    blank: tuple[int, ...] = ()
    over: bool = False


def grown(corners: Corners, factor: float, wide: int, high: int) -> Corners:
    """The box with sides `factor` times as long, about its centre, within the picture."""
    x, y = (corners[0] + corners[2]) / 2, (corners[1] + corners[3]) / 2
    w, h = factor * (corners[2] - corners[0]), factor * (corners[3] - corners[1])
    return max(0, x - w / 2), max(0, y - h / 2), min(wide, x + w / 2), min(high, y + h / 2)


def views(
    corners: Corners, n: int, ratio: float, wide: int, high: int, code: bool
) -> list[Corners]:
    """The fields of view."""
    if not code:
        # Paper: v_i = ((1 + lambda)^i w_d, (1 + lambda)^i h_d, p_d).
        return [grown(corners, (1 + ratio) ** (i - 1), wide, high) for i in range(n)]
    # Code: sides change by ratio / 2 at either end; each is made of the one before, cut off.
    chain = [corners]
    for _ in range(n - 2):
        chain.append(grown(chain[-1], 1 + ratio, wide, high))
    return [grown(corners, 1 - min(0.8, ratio), wide, high), *chain]


def distance(p: Tensor, q: Tensor, code: bool) -> float:
    """Jensen-Shannon divergence of two distributions; the code has KL's arguments exchanged."""
    m = (p + q) / 2
    kl = [(m * (m / x).log()).sum() if code else (x * (x / m).log()).sum() for x in (p, q)]
    return float(kl[0] + kl[1]) / 2


def contrasted(logits: list[Tensor], k: int, alpha: float, code: bool) -> list[Tensor]:
    """Both contrasts of each of the k / 2 pairs that differ most."""
    chances = [row.double().softmax(-1) for row in logits]
    pairs = sorted(
        itertools.combinations(range(len(logits)), 2),
        key=lambda pair: -distance(chances[pair[0]], chances[pair[1]], code),
    )
    rows = []
    for i, j in pairs[: k // 2]:
        # Paper: exp[(1 + alpha) f(. | v_i) - alpha f(. | v_j)], and the other way round.
        # Code: final - alpha * base, the larger field as the final one first.
        a, b = (logits[j], logits[i]) if code else (logits[i], logits[j])
        rows += [one - alpha * (other if code else other - one) for one, other in ((a, b), (b, a))]
    return rows


def target(task: Task, name: str, code: bool) -> tuple[Corners | None, bool]:
    """Which box to look at, and whether there is one; None for a word that is left alone."""
    wide, high = task.image.size
    boxes = [box[:4] for box in task.detect(name)]

    def area(box: tuple[float, ...]) -> float:
        return (box[2] - box[0]) * (box[3] - box[1])

    if code:
        boxes = sorted([box for box in boxes if area(box) >= 0.01 * wide * high], key=area)
        if len(boxes) > 3:
            return None, True
    if boxes:
        left, top, right, bottom = boxes[0]
        return (left, top, right, bottom), True
    return (0.2 * wide, 0.2 * high, 0.8 * wide, 0.8 * high), False


def ending(task: Task, tokens: Sequence[int]) -> tuple[str, int] | None:
    """The thing that the last whole word names, and its token; the tiny models have whole words."""
    word = task.read(tokens).split(" ")[-1].lower()
    if word not in task.things:
        return None
    spoken = [at for at, token in enumerate(tokens) if task.read([token])]
    return (task.things[word], spoken[-1]) if spoken[-1] == len(tokens) - 1 else None


def halc(
    model: Any,
    inputs: Any,
    task: Task,
    *,
    n_tokens: int = 12,
    variant: str = "paper",
    n_crops: int = 4,
    expand_ratio: float = 0.6,
    k_candidates: int | None = None,
    beta: float = 0.05,
    num_beams: int = 1,
) -> tuple[list[int], list[Tensor]]:
    """The answer's tokens, and the contrasts in the order they are made."""
    code = variant == "official_code"
    k = k_candidates or (4 if code else 6)
    wide, high = task.image.size
    made: list[Tensor] = []

    def anew(line: Line, tokens: list[int], name: str, place: int) -> list[Line] | None:
        corners, found = target(task, name, code)
        if corners is None:
            return None
        rows = []
        for view in views(corners, n_crops, expand_ratio, wide, high, code):
            left, top = min(round(view[0]), wide - 1), min(round(view[1]), high - 1)
            right, bottom = max(left + 1, round(view[2])), max(top + 1, round(view[3]))
            crop = task.image.crop((left, top, right, bottom))
            rows.append(next_logits(model, task.encode(crop), tokens[:place]))
        best = contrasted(rows, k, beta, code)
        made.append(torch.stack(best))
        lines = []
        for token in dict.fromkeys(int(row.argmax()) for row in best):
            head = (*tokens[:place], token)
            given_up = not found and token == tokens[place] and not (code and place < 7)
            if given_up:  # replaced behind the ranking, which still reads it
                lines.append(Line(head, place + 1, (*line.blank, -place - 1)))
            else:
                lines.append(Line(head, place + 1, line.blank, token in ends_of(model)))
        return lines

    def follow(line: Line) -> list[Line]:
        if line.over:
            return [line]
        tokens = list(line.tokens)
        while True:
            token = int(next_logits(model, inputs, tokens).argmax())
            named = ending(task, tokens)
            if named and named[1] >= line.fixed:
                lines = anew(line, tokens, *named)
                if lines is not None:
                    return lines
            tokens.append(token)
            if token in ends_of(model) or len(tokens) == n_tokens:
                return [line._replace(tokens=tuple(tokens), over=True)]

    def said(line: Line) -> list[int]:
        return [token for at, token in enumerate(line.tokens) if at not in line.blank]

    def top(lines: list[Line], width: int) -> list[Line]:
        lines = list(dict.fromkeys(lines))
        if len(lines) <= width:
            return lines
        scores = task.match([task.read(said(line)).rstrip() for line in lines])
        order = sorted(range(len(lines)), key=lambda at: (-scores[at], at))
        return [lines[at] for at in order[:width]]

    def settle(line: Line) -> Line:
        if not line.blank or line.blank[-1] >= 0:
            return line
        place = -line.blank[-1] - 1
        head = (*line.tokens[:place], task.unknown)
        return line._replace(tokens=head, blank=(*line.blank[:-1], place))

    with eager(model):
        lines = [Line()]
        while not all(line.over for line in lines):
            lines = [settle(line) for line in top([o for x in lines for o in follow(x)], num_beams)]
        best = top(lines, 1)[0]
    assert not math.isnan(sum(float(rows.sum()) for rows in made))
    return said(best), made
