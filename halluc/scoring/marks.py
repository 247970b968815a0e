"""Which words of an answer name things, right or wrong, for people who read it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

_IRREGULAR = {
    "man": "men",
    "woman": "women",
    "child": "children",
    "person": "people|persons",
    "mouse": "mice",
    "goose": "geese",
    "sheep": "sheep",
}


class Mark(NamedTuple):
    """A part of an answer that names a thing.

    Attributes:
        start, end: The characters.
        right: Whether the thing is in the image.
    """

    start: int
    end: int
    right: bool


def find_marks(text: str, named: Iterable[tuple[str, bool]]) -> list[Mark]:
    """Find the words of a text that scorers read as things, each behind the one before.

    Scorers turn words into singulars; a word is found in its plural, too: "knife" marks "knives".
    One that is not found is left out.

    Args:
        text: The answer.
        named: The scorer's word for each thing named, in order, and whether the thing is there.
    """
    marks: list[Mark] = []
    place = 0
    for word, right in named:
        found = _place_of(word, text, place) or _place_of(word, text, 0)
        if found is not None:
            marks.append(Mark(*found, right))
            place = max(place, found[1])
    return marks


def _place_of(word: str, text: str, start: int) -> tuple[int, int] | None:
    *first, last = word.split() or [""]
    pattern = r"\b" + r"\s+".join([*map(re.escape, first), _plural(last)]) + r"\b"
    match = re.compile(pattern, re.IGNORECASE).search(text, start)
    return None if match is None else match.span()


def _plural(word: str) -> str:
    """Return a pattern of a word in singular and plural."""
    if word in _IRREGULAR:
        return f"(?:{word}|{_IRREGULAR[word]})"
    for end, plural in (("fe", "ves"), ("f", "ves"), ("y", "ies")):
        if word.endswith(end):
            stem = re.escape(word.removesuffix(end))
            return f"{stem}(?:{end}s?|{plural})"
    return f"{re.escape(word)}(?:e?s)?"
