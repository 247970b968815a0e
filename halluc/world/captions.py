"""Captions of several sentences: their composition, and five true captions of a scene."""

from __future__ import annotations

import random
from dataclasses import dataclass

from halluc.world.backgrounds import SIDE
from halluc.world.language import HUES, NUMBERS, PLURALS, SYNONYMS, article
from halluc.world.scenes import Scene, Thing, generator

OPENINGS: tuple[str, ...] = (
    "The image shows {theme}.",
    "This is a picture of {theme}.",
    "This is a view of {theme}.",
)
FIRST: tuple[str, ...] = (
    "There {be} {np} {side}.",
    "{Np} can be seen {side}.",
    "{Side}, there {be} {np}.",
)
LATER: tuple[str, ...] = (
    "There {be} also {np} {side}.",
    "In addition, there {be} {np} {side}.",
    "{Side}, there {be} {np}.",
    "{Np} can be seen {side}.",
)
CLOSINGS: dict[bool, tuple[str, ...]] = {
    True: ("The scene looks busy.", "Overall, it is a lively scene."),
    False: ("The scene looks calm.", "Overall, it is a quiet scene."),
}
SIDES: dict[str, tuple[str, ...]] = {
    "left": ("on the left", "on the left side of the image"),
    "middle": ("in the middle", "in the middle of the image"),
    "right": ("on the right", "on the right side of the image"),
}
SYNONYM_ODDS = 0.1
"""The chance that a caption uses a synonym of COCO's word for a category that has one."""
BUSY = 8
"""A scene with this many things looks busy."""


@dataclass(frozen=True)
class SceneMention:
    """The content of a sentence: a category, how many, and the colour and side of a single one."""

    category: str
    number: int
    colour: str
    side: str


def mention(things: list[Thing]) -> SceneMention:
    """Return the mention that is true of these things, all those of one category in a scene."""
    first = max(things, key=lambda thing: thing.evidence)
    return SceneMention(first.category, len(things), first.colour, side_of(first))


def side_of(thing: Thing) -> str:
    """Return "left", "middle" or "right", by thirds of the picture's width."""
    third = int(thing.middle[0] * 3 / SIDE)
    return ("left", "middle", "right")[min(2, max(0, third))]


def mentions(scene: Scene) -> list[SceneMention]:
    """Return a mention of every annotated category, the easiest to see first."""
    groups = {name: [t for t in scene.things if t.category == name] for name in scene.categories}
    ordered = sorted(groups.values(), key=lambda group: -max(t.evidence for t in group))
    return [mention(group) for group in ordered]


def compose(scene: Scene, said: list[SceneMention], rng: random.Random) -> str:
    """Write a caption: an opening, a sentence for each mention, and a closing.

    Args:
        scene: Gives the theme and the number of things.
        said: The mentions, in this order; they need not be true.
        rng: Chooses the wording.
    """
    theme = f"{article(scene.theme)} {scene.theme}"
    sentences = [rng.choice(OPENINGS).format(theme=theme)]
    for position, item in enumerate(said):
        sentences.append(_sentence(item, rng.choice(FIRST if position < 2 else LATER), rng))
    sentences.append(rng.choice(CLOSINGS[len(scene.things) >= BUSY]))
    return " ".join(sentences)


def _sentence(item: SceneMention, pattern: str, rng: random.Random) -> str:
    phrase = noun_phrase(item, rng)
    side = SIDES[item.side][rng.random() < 0.25]
    return pattern.format(
        be="is" if item.number == 1 else "are",
        np=phrase,
        Np=phrase[0].upper() + phrase[1:],
        side=side,
        Side=side[0].upper() + side[1:],
    )


def noun_phrase(item: SceneMention, rng: random.Random) -> str:
    """Return "a red car" or "two cars", sometimes with a synonym."""
    names = list(SYNONYMS[item.category][2:])
    other = names and rng.random() < SYNONYM_ODDS
    if item.number == 1:
        noun = rng.choice(names[::2]) if other else item.category
        return f"{article(item.colour)} {item.colour} {noun}"
    noun = rng.choice(names[1::2]) if other and len(names) > 1 else PLURALS[item.category]
    return f"{NUMBERS.get(item.number, 'several')} {noun}"


def true_captions(scene: Scene) -> list[str]:
    """Return five captions in which everything mentioned is there.

    Each caption mentions some of the categories, the easiest to see first.
    """
    rng = generator("captions", scene.split, scene.index)
    everything = mentions(scene)
    return [
        compose(scene, everything[: max(2, len(everything) - missing)], rng)
        for missing in (0, 0, 1, 2, 3)
    ]


def random_mention(category: str, rng: random.Random) -> SceneMention:
    """Return a mention of a single thing of a category, with a random colour and side."""
    return SceneMention(category, 1, rng.choice(HUES), rng.choice(tuple(SIDES)))
