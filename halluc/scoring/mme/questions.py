"""MME's questions on existence, count and position, for images whose objects have boxes.

Fu et al. (arXiv 2306.13394) ask each question twice about an image: once the answer is yes, once
no. Their wording is kept; which objects are asked about is drawn.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

SUBTASKS = ("existence", "count", "position")
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six")


class Box(NamedTuple):
    """An object's left and right edge in pixels, and whether it stands for a crowd."""

    name: str
    left: float
    right: float
    crowd: bool = False


class Pair(NamedTuple):
    """Two questions: the answer to the first is yes, to the second no."""

    yes: str
    no: str


@dataclass(frozen=True)
class Boxes:
    """The objects of an image."""

    image: str
    objects: tuple[Box, ...]


def pairs(image: Boxes, vocabulary: Sequence[str], rng: random.Random) -> dict[str, Pair]:
    """Write an image's questions; a subtask without a clear answer is left out.

    Existence asks about an object that is there and one that is not. Count asks about a category of
    one to six objects, none of them a crowd. Position asks about two categories of one object each,
    which do not overlap from left to right.

    Args:
        vocabulary: All names that absent objects are drawn from.
    """
    questions: dict[str, Pair] = {}
    counts = Counter(box.name for box in image.objects)
    crowds = {box.name for box in image.objects if box.crowd}
    absent = [name for name in vocabulary if name not in counts]
    if counts and absent:
        questions["existence"] = Pair(
            _exists(rng.choice(list(counts))), _exists(rng.choice(absent))
        )
    clear = {n: c for n, c in counts.items() if c < len(NUMBERS) and n not in crowds}
    if clear:
        # most categories have one instance: without weights nearly every answer would be "one"
        name = rng.choices(list(clear), [1 if n == 1 else 3 for n in clear.values()])[0]
        others = [n for n in range(1, len(NUMBERS)) if n != clear[name]]
        questions["count"] = Pair(_count(name, clear[name]), _count(name, rng.choice(others)))
    single = [box for box in image.objects if clear.get(box.name) == 1]
    apart = [(a, b) for a in single for b in single if a.right < b.left]
    if apart:
        left, right = (box.name for box in rng.choice(apart))
        if rng.random() < 0.5:
            questions["position"] = Pair(_side(left, "left", right), _side(left, "right", right))
        else:
            questions["position"] = Pair(_side(right, "right", left), _side(right, "left", left))
    return questions


def _exists(name: str) -> str:
    return f"Is there {'an' if name[:1].lower() in 'aeiou' else 'a'} {name} in this image?"


def _count(name: str, number: int) -> str:
    if number == 1:
        return f"Is there only one {name} in the image?"
    plural = name if name.endswith("s") else f"{name}s"
    return f"Are there {NUMBERS[number]} {plural} in the image?"


def _side(name: str, side: str, other: str) -> str:
    return f"Is the {name} on the {side} of the {other}?"
