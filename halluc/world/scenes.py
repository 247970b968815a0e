"""Scenes: the things in a picture and their positions, determined by a split's name and an index.

Scenes are made hard here too, at the rates named below: some things are small, faint, cropped by
the border or hidden behind others. All are annotated, as in COCO, whose annotators could zoom in.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import numpy as np

from halluc.world.backgrounds import SIDE
from halluc.world.catalog import CATEGORY, COLOURS, NAMES
from halluc.world.icons import icon
from halluc.world.themes import SEVERAL_ODDS, THEMES, Theme, chance

Band = Literal["clear", "hard", "barely"]
Mask = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]

HARD_ODDS: dict[str, float] = {"tiny": 0.05, "faint": 0.05, "cropped": 0.05}
"""The chance that a thing is made hard to see in each way; covering happens by chance."""
MOST = 11
"""The largest number of things in a scene."""
CLEAR_EVIDENCE = 130.0
"""A thing with at least this much evidence (visible pixels times opacity) is clear."""
BARELY_EVIDENCE = 45.0
"""A thing with less than this is barely visible."""
LEAST_PIXELS = 6
"""A thing with fewer visible pixels is not annotated."""


@dataclass(frozen=True)
class Thing:
    """One drawn object.

    Attributes:
        category: Its COCO name.
        colour: One of the eight colours.
        place: Left, top, width and height of the whole icon in pixels; may reach past the border.
        flipped: It is mirrored.
        opacity: 1 for solid, less for faint.
        bbox: COCO's box (left, top, width, height) of the part in view, in pixels.
        area: Pixels in view.
    """

    category: str
    colour: str
    place: tuple[int, int, int, int]
    flipped: bool
    opacity: float
    bbox: tuple[int, int, int, int] = (0, 0, 0, 0)
    area: int = 0

    @property
    def evidence(self) -> float:
        """The visible amount: pixels in view times opacity."""
        return self.area * self.opacity

    @property
    def band(self) -> Band:
        """The difficulty of seeing it: clear, hard or barely."""
        if self.evidence >= CLEAR_EVIDENCE:
            return "clear"
        return "hard" if self.evidence >= BARELY_EVIDENCE else "barely"

    @property
    def middle(self) -> tuple[float, float]:
        """The middle of the part in view, in pixels."""
        left, top, wide, high = self.bbox
        return left + wide / 2, top + high / 2


@dataclass(frozen=True)
class Scene:
    """A picture before it is drawn.

    Attributes:
        split: The split's name, part of the seed.
        index: The scene's number within the split.
        theme: The name of its theme.
        things: The annotated things, from the back to the front.
    """

    split: str
    index: int
    theme: str
    things: tuple[Thing, ...]

    @property
    def image_id(self) -> int:
        """COCO's image id: the index plus one."""
        return self.index + 1

    @property
    def file_name(self) -> str:
        """The name the picture has in COCO's JSON."""
        return f"glyph_{self.split}_{self.image_id:012d}.png"

    @property
    def categories(self) -> tuple[str, ...]:
        """Distinct categories, in the order of annotation."""
        return tuple(dict.fromkeys(thing.category for thing in self.things))


def generator(*words: object) -> random.Random:
    """Return a random generator seeded by words, the same on every machine."""
    return random.Random("/".join(str(word) for word in words))


def scene(split: str, index: int) -> Scene:
    """Make a scene. Two splits never share a scene, since the split's name is part of the seed.

    Args:
        split: Any name, such as "train" or "test".
        index: 0 or more.

    Returns:
        A scene with at least one thing in it.
    """
    for attempt in range(100):
        rng = generator("halluc", split, index, attempt)
        theme = rng.choices(THEMES, [theme.weight for theme in THEMES])[0]
        things = tuple(in_view([_thing(rng, name) for name in _cast(rng, theme)]))
        if things:
            return Scene(split, index, theme.name, things)
    raise RuntimeError(f"split {split!r}, index {index}: 100 attempts made an empty scene")


def _cast(rng: random.Random, theme: Theme) -> list[str]:
    cast = []
    for name in NAMES:
        if rng.random() < chance(theme.name, name):
            several = rng.random() < SEVERAL_ODDS.get(name, 0.05)
            cast += [name] * (rng.choice((2, 2, 3, 3, 4)) if several else 1)
    rng.shuffle(cast)
    return cast[:MOST]


def _thing(rng: random.Random, name: str) -> Thing:
    hard = {kind: rng.random() < odds for kind, odds in HARD_ODDS.items()}
    category = CATEGORY[name]
    shrink = rng.uniform(0.3, 0.55) if hard["tiny"] else 1.0
    size = category.size * rng.lognormvariate(0, 0.22) * shrink
    opacity = rng.uniform(0.10, 0.45) if hard["faint"] else rng.uniform(0.8, 1.0)
    colour = rng.choice(tuple(COLOURS))
    wide, high = icon(name, colour).size
    scale = size * SIDE / max(wide, high)
    wide, high = max(5, round(wide * scale)), max(5, round(high * scale))
    x, y = rng.uniform(0.08, 0.92) * SIDE, rng.uniform(category.top, category.bottom) * SIDE
    if hard["cropped"]:
        x = rng.choice((-0.32, 0.32)) * wide + (SIDE if x > SIDE / 2 else 0)
    place = (round(x - wide / 2), round(y - high / 2), wide, high)
    return Thing(name, colour, place, rng.random() < 0.5, opacity)


def in_view(things: Sequence[Thing]) -> Iterator[Thing]:
    """Yield the things with enough pixels in view, and the box and area of what is in view.

    Args:
        things: From the back to the front.
    """
    covered = np.zeros((SIDE, SIDE), bool)
    found = []
    for thing in reversed(things):
        mask = outline(thing) & ~covered
        if thing.opacity > 0.6:
            covered |= mask
        area = int(mask.sum())
        if area >= LEAST_PIXELS:
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            left, top = int(columns[0]), int(rows[0])
            bbox = (left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1)
            found.append(replace(thing, bbox=bbox, area=area))
    yield from reversed(found)


@cache
def _stencil(name: str, flipped: bool, size: tuple[int, int]) -> Mask:
    alpha = icon(name, "red", flipped).getchannel("A").resize(size)
    return np.asarray(alpha) > 127


def outlines(things: Iterable[Thing]) -> Mask:
    """Return the pixels that any of these things would cover if it were alone, bool [128, 128]."""
    mask = np.zeros((SIDE, SIDE), bool)
    for thing in things:
        mask |= outline(thing)
    return mask


def outline(thing: Thing) -> Mask:
    """Return the pixels that a thing would cover if it were alone, bool [128, 128]."""
    mask = np.zeros((SIDE, SIDE), bool)
    left, top, wide, high = thing.place
    stencil = _stencil(thing.category, thing.flipped, (wide, high))
    x0, y0, x1, y1 = max(0, left), max(0, top), min(SIDE, left + wide), min(SIDE, top + high)
    if x0 < x1 and y0 < y1:
        mask[y0:y1, x0:x1] = stencil[y0 - top : y1 - top, x0 - left : x1 - left]
    return mask
