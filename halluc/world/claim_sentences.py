"""Training texts of the matcher: each is about one category, which is in the scene or not."""

from __future__ import annotations

import random
from dataclasses import dataclass

from halluc.world import language
from halluc.world.catalog import NAMES
from halluc.world.scenes import Scene
from halluc.world.themes import chance

TEXTS = 6
"""The number of texts about each scene, half of which match."""


@dataclass(frozen=True)
class ClaimSentence:
    """A text that names one category; `there` is true if the scene has it."""

    text: str
    category: str
    there: bool


def claims(scene: Scene, rng: random.Random, blank: bool = False) -> list[ClaimSentence]:
    """Return texts about a scene, half of them true; barely visible things are left out.

    Args:
        blank: The scene's picture is one flat colour, so nothing is there.
    """
    visible = [] if blank else [t.category for t in scene.things if t.band != "barely"]
    absent = [name for name in NAMES if blank or name not in scene.categories]
    odds = [chance(scene.theme, name) for name in absent]
    made = []
    for number in range(TEXTS):
        if there := bool(visible) and number % 2 == 0:
            name = rng.choice(visible)
        else:
            name = rng.choices(absent, odds if number % 4 == 1 else None)[0]
        made.append(ClaimSentence(_phrase(name, rng), name, there))
    return made


def _phrase(name: str, rng: random.Random) -> str:
    """Return a question about a category, or a sentence."""
    hue, number = rng.choice(language.HUES), rng.choice(tuple(language.NUMBERS))
    side: language.Side = rng.choice(("left", "right"))
    plain = (language.exists(name), language.exists_here(name))
    other = (
        language.count(name, number),
        language.colour(name, hue),
        language.coloured(name, hue),
        language.position(name, side),
        f"There is {language.article(name)} {name}.",
        f"{language.article(hue)} {hue} {rng.choice(language.SYNONYMS[name])}",
    )
    return rng.choice(plain if rng.random() < 0.5 else other)
