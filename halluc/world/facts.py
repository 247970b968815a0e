"""Attributes of a scene that can be asked about without ambiguity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from halluc.world.backgrounds import SIDE
from halluc.world.language import NUMBERS, Side
from halluc.world.scenes import Band, Scene, Thing

CLEAR: tuple[Band, ...] = ("clear",)
"""The bands that MME-like questions are about."""
MARGIN = 0.10
"""A thing is clearly to one side if its middle is this share of the width off the middle."""


def counts(scene: Scene, bands: Collection[Band] = CLEAR) -> dict[str, int]:
    """Return the number of things of each category, 1 to 4, if all of them are in these bands."""
    number = Counter(thing.category for thing in scene.things)
    doubtful = {thing.category for thing in scene.things if thing.band not in bands}
    return {
        name: number[name]
        for name in scene.categories
        if name not in doubtful and number[name] in NUMBERS
    }


def singles(scene: Scene, bands: Collection[Band] = CLEAR) -> list[Thing]:
    """Return the things in these bands that are alone in their category."""
    number = counts(scene, bands)
    return [thing for thing in scene.things if number.get(thing.category) == 1]


def colours(scene: Scene, bands: Collection[Band] = CLEAR) -> dict[str, str]:
    """Return the colour of each category that has exactly one thing."""
    return {thing.category: thing.colour for thing in singles(scene, bands)}


def sides(scene: Scene, bands: Collection[Band] = CLEAR) -> dict[str, Side]:
    """Return the side of each category that has exactly one thing, clearly on one side."""
    side_of: dict[str, Side] = {}
    for thing in singles(scene, bands):
        x = thing.middle[0] / SIDE - 0.5
        if abs(x) >= MARGIN:
            side_of[thing.category] = "left" if x < 0 else "right"
    return side_of
