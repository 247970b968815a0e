"""HALC's search: greedy up to each word for an object, which is then chosen anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from halluc.interventions.beam_search import go_on_from
from halluc.methods._fields_of_view import Field, Variant, contrasts, fields_of_view

if TYPE_CHECKING:
    from halluc.interventions.search_loop import SearchLoop
    from halluc.methods._detector_and_matcher import Onlookers
    from halluc.methods._object_words import ObjectWords
    from halluc.models.object_detector import Box

MOST_BOXES, LEAST_AREA = 3, 0.01
"""In the code: a word with more boxes is left alone; a box that is a smaller share is no box."""
MIDDLE = (0.2, 0.2, 0.8, 0.8)
"""Where to look for what was not found, as shares of the image (halc.py:346)."""
FIRST_LEFT_OUT = 8
"""In the code: the earliest token, counted from 1, that may be left out."""


class Branch(NamedTuple):
    """An answer that is being written.

    Attributes:
        tokens: What it says.
        decided: Tokens that are not chosen anew any more.
        ended: It is finished.
        unfounded: Its last token was not found in the image, and chosen again.
        left_out: Places of unknown tokens that stand for such words.
    """

    tokens: tuple[int, ...] = ()
    decided: int = 0
    ended: bool = False
    unfounded: bool = False
    left_out: frozenset[int] = frozenset()

    @property
    def said(self) -> list[int]:
        """The tokens that are not left out."""
        return [token for at, token in enumerate(self.tokens) if at not in self.left_out]


class Settings(NamedTuple):
    """Numbers of the search, as in HALC's parameters."""

    variant: Variant
    n_crops: int
    expand_ratio: float
    k_candidates: int
    beta: float


class View(NamedTuple):
    """Prompts about the fields of view around an object; `found` tells if a detector found it."""

    inputs: dict[str, Any]
    found: bool


def choose_box(boxes: Sequence[Box], size: tuple[int, int], variant: Variant) -> Field | None:
    """Choose the box around what a word names, the surest; the code takes the smallest.

    Args:
        boxes: The surest first.
        size: The image's width and height.

    Returns:
        The image's middle if there is no box; None for a word that is left alone.
    """
    if variant == "official_code":
        boxes = [box for box in boxes if box.area >= LEAST_AREA * size[0] * size[1]]
        if len(boxes) > MOST_BOXES:
            return None
        boxes = sorted(boxes, key=lambda box: box.area)
    if not boxes:
        return Field(*(share * side for share, side in zip(MIDDLE, size * 2, strict=True)))
    return Field(*boxes[0][:4])


class FocalSearch:
    """One prompt's search.

    Args:
        loop: The decoding loop.
        words: Finds words for objects.
        onlookers: Detect objects, and match texts.
        unknown: The tokenizer's unknown token, if it has one.
    """

    def __init__(
        self,
        loop: SearchLoop,
        settings: Settings,
        words: ObjectWords,
        onlookers: Onlookers,
        unknown: int | None,
    ) -> None:
        self.loop, self.settings, self.words = loop, settings, words
        self.onlookers, self.unknown = onlookers, unknown
        self.image = loop.batch.images[0].convert("RGB")
        self._views: dict[str, View | None] = {}

    def run(self, width: int) -> list[int]:
        """Go on from object to object with so many branches; return the best one's tokens."""
        branches = [Branch()]
        while not all(branch.ended for branch in branches):
            options = [option for branch in branches for option in self.options(branch)]
            branches = [self.settled(branch) for branch in self.best(options, width)]
        return self.best(branches, 1)[0].said

    def options(self, branch: Branch) -> list[Branch]:
        """Write greedily until a word for an object is complete; return what may stand there."""
        if branch.ended:
            return [branch]
        loop, tokens = self.loop, list(branch.tokens)
        go_on_from(loop, [tokens])
        while True:
            token = int(loop.logits[0].argmax())
            word = self.words.ended(tokens, token)
            place = len(tokens) if word is None else max(word.start, branch.decided)
            if word and place < len(tokens) and (view := self.view(word.category)):
                return self.anew(branch, tokens, place, view)
            tokens.append(token)
            if token in loop.end_tokens or len(tokens) == loop.max_new_tokens:
                return [branch._replace(tokens=tuple(tokens), ended=True)]
            loop.step(loop.tokens.new_tensor([token]))

    def anew(self, branch: Branch, tokens: Sequence[int], place: int, view: View) -> list[Branch]:
        """Choose the token at a place anew, by each contrast of fields of view."""
        loop, p = self.loop, self.settings
        before = loop.tokens.new_tensor(tokens[:place])
        logits = loop.forward(loop.model.continued(view.inputs, before))
        chosen = contrasts(logits, p.k_candidates, p.beta, p.variant).argmax(-1).tolist()
        return [
            branch._replace(
                tokens=(*tokens[:place], token),
                decided=place + 1,
                ended=token in loop.end_tokens,
                unfounded=not view.found and token == tokens[place],
            )
            for token in dict.fromkeys(chosen)
        ]

    def settled(self, branch: Branch) -> Branch:
        """Put the unknown token in place of a word neither found nor corrected."""
        length = len(branch.tokens)
        early = self.settings.variant == "official_code" and length < FIRST_LEFT_OUT
        if branch.unfounded and self.unknown is not None and not early:
            tokens = (*branch.tokens[:-1], self.unknown)
            branch = branch._replace(tokens=tokens, left_out=branch.left_out | {length - 1})
        return branch._replace(unfounded=False)

    def best(self, branches: Sequence[Branch], width: int) -> list[Branch]:
        """Return the branches whose text fits the image best, the best first."""
        branches = list(dict.fromkeys(branches))
        if len(branches) <= width:
            return branches
        texts = [self.words.text(branch.said) for branch in branches]
        scores = self.onlookers.fit(self.image, texts).tolist()
        ranked = sorted(range(len(branches)), key=lambda number: -scores[number])
        return [branches[number] for number in ranked[:width]]

    def view(self, category: str) -> View | None:
        """Return the prompt about each field of view around an object; None to leave it alone."""
        if category not in self._views:
            self._views[category] = self._look(category)
        return self._views[category]

    def _look(self, category: str) -> View | None:
        p, size = self.settings, self.image.size
        boxes = self.onlookers.detect(self.image, category)
        around = choose_box(boxes, size, p.variant)
        if around is None:
            return None
        fields = fields_of_view(around, p.n_crops, p.expand_ratio, size, p.variant)
        crops = [self.image.crop(field.pixels(size)) for field in fields]
        prompts = [*self.loop.batch.rendered] * len(crops)
        return View(self.loop.model.encode(prompts, crops), bool(boxes))
