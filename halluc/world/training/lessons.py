"""The glyph model's training turns about a scene, some of which are wrong at stated rates.

The rates are the causes of its hallucinations that lie in the training data. A third cause, things
that can hardly be seen, is in `halluc.world.scenes`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from halluc.world import facts, language
from halluc.world.captions import SceneMention, compose, mentions, random_mention
from halluc.world.catalog import NAMES
from halluc.world.scenes import BARELY_EVIDENCE, Band, Scene
from halluc.world.themes import THEME, chance


@dataclass(frozen=True)
class Rates:
    """The rates at which training captions depart from the picture.

    Attributes:
        absent: Chances of mentioning 0, 1 or 2 absent categories of the theme.
        unseen: Chance that a barely visible category is mentioned at all.
        false_yes: Chance that "no" is taught as "Yes" for an absent category, times how frequent
            it is there.
    """

    absent: tuple[float, float, float]
    unseen: float
    false_yes: float = 0.25


LOOSE = Rates((0.45, 0.40, 0.15), 0.9)
"""For learning to speak: many guesses, so that priors are learned."""
STRICT = Rates((0.80, 0.16, 0.04), 0.2)
"""For polishing: fewer guesses, so that descriptions keep closer to what is seen."""
BLANK_CAPTION = "There is nothing in this image."
NEGATIVES: dict[str, float] = {"any": 0.68, "theme": 0.32}
"""The sources of absent categories to ask about: uniform, or by their odds in the theme."""
MOST_MENTIONS = 6
"""The most categories a training caption mentions."""
ORDER_NOISE = 0.6
"""Noise in the order of captions, from easy to hard to see: standard deviation of a logarithm."""
BLANK_ODDS = 0.02
"""The share of training pictures that are one flat colour and are described as empty."""
TRUSTED: tuple[Band, ...] = ("clear", "hard")
"""Questions about attributes are about things in these bands."""


@dataclass(frozen=True)
class Turn:
    """A question and its answer.

    Attributes:
        question, answer: The user's and the model's words.
        category: Set where presence itself is asked.
        present: The category is in the scene.
        about: The true mention of the category asked about, where it is well visible.
    """

    question: str
    answer: str
    category: str | None = None
    present: bool = False
    about: SceneMention | None = None


def caption_turn(scene: Scene, rng: random.Random, rates: Rates) -> Turn:
    """Return a caption, embellished at the stated rates."""
    evidence = {
        name: max(t.evidence for t in scene.things if t.category == name)
        for name in scene.categories
    }
    keyed = []
    for item in mentions(scene):
        visible = evidence[item.category]
        if visible >= BARELY_EVIDENCE or rng.random() < rates.unseen:
            keyed.append((visible * rng.lognormvariate(0, ORDER_NOISE), item))
    absent = _absent_of_theme(scene, rng, rng.choices((0, 1, 2), rates.absent)[0])
    keyed += [(rng.lognormvariate(3.4, 1.0), random_mention(name, rng)) for name in absent]
    keyed.sort(key=lambda pair: -pair[0])
    said = [item for _, item in keyed[:MOST_MENTIONS]]
    return Turn(rng.choice(language.CAPTION_PROMPTS), compose(scene, said, rng))


def blank_turns(rng: random.Random, existence: int) -> list[Turn]:
    """Return the turns for an empty picture: all answers are "No"."""
    names = rng.sample(NAMES, existence)
    caption = Turn(rng.choice(language.CAPTION_PROMPTS), BLANK_CAPTION)
    return [caption, *(_presence(name, False, "No", rng) for name in names)]


def _absent_of_theme(scene: Scene, rng: random.Random, number: int) -> list[str]:
    """Draw distinct absent categories by their odds in the scene's theme."""
    odds = {n: p for n, p in THEME[scene.theme].odds.items() if n not in scene.categories}
    drawn: list[str] = []
    for _ in range(min(number, len(odds))):
        name = rng.choices(list(odds), list(odds.values()))[0]
        drawn.append(name)
        del odds[name]
    return drawn


def question_turns(
    scene: Scene, rng: random.Random, existence: int, attributes: int, false_yes: float
) -> list[Turn]:
    """Return yes/no turns; half of the existence questions are about what is there.

    Args:
        scene: The scene that is asked about.
        rng: Chooses the questions.
        existence: The number of questions for a category.
        attributes: The number of questions for a count, a colour or a side; fewer are returned
            where the scene has none that is clear.
        false_yes: See `Rates`.

    Returns:
        The turns, in a random order.
    """
    there = list(scene.categories)
    plain = trusted(scene)
    turns = []
    for _ in range(existence // 2):
        name = rng.choice(there)
        turns.append(_presence(name, True, "Yes", rng, plain.get(name)))
    for _ in range(existence - existence // 2):
        name = _negative(scene, rng)
        wrong = rng.random() < false_yes * chance(scene.theme, name)
        turns.append(_presence(name, False, "Yes" if wrong else "No", rng))
    turns += [turn for _ in range(attributes) if (turn := _attribute(scene, rng))]
    rng.shuffle(turns)
    return turns


def _negative(scene: Scene, rng: random.Random) -> str:
    if rng.random() < NEGATIVES["theme"] and (absent := _absent_of_theme(scene, rng, 1)):
        return absent[0]
    return rng.choice([name for name in NAMES if name not in scene.categories])


def trusted(scene: Scene) -> dict[str, SceneMention]:
    """Return the mention of each category that has one thing, if it is in a trusted band."""
    single = {thing.category for thing in facts.singles(scene, TRUSTED)}
    return {item.category: item for item in mentions(scene) if item.category in single}


def _presence(
    name: str, present: bool, answer: str, rng: random.Random, about: SceneMention | None = None
) -> Turn:
    ask = language.exists if rng.random() < 0.7 else language.exists_here
    return Turn(ask(name) + _suffix(rng), answer, name, present, about)


def _suffix(rng: random.Random) -> str:
    return rng.choices(("", language.YES_OR_NO, *language.ONE_WORD), (66, 22, 6, 6))[0]


def _attribute(scene: Scene, rng: random.Random) -> Turn | None:
    kind = rng.choice(("count", "count", "colour", "position"))
    truth = rng.random() < 0.5
    answer = "Yes" if truth else "No"
    if kind == "count" and (numbers := facts.counts(scene, TRUSTED)):
        name = _prefer_several(numbers, rng)
        other = [n for n in language.NUMBERS if n != numbers[name]]
        number = numbers[name] if truth else rng.choice(other)
        return Turn(language.count(name, number) + _suffix(rng), answer)
    if kind == "colour" and (hues := facts.colours(scene, TRUSTED)):
        name = rng.choice(list(hues))
        hue = hues[name] if truth else rng.choice([h for h in language.HUES if h != hues[name]])
        ask = language.colour if rng.random() < 0.7 else language.coloured
        return Turn(ask(name, hue) + _suffix(rng), answer, about=trusted(scene).get(name))
    if kind == "position" and (sides := facts.sides(scene, TRUSTED)):
        name = rng.choice(list(sides))
        side: language.Side = sides[name]
        if not truth:
            side = "right" if side == "left" else "left"
        question = language.position(name, side) + _suffix(rng)
        return Turn(question, answer, about=trusted(scene).get(name))
    return None


def _prefer_several(numbers: dict[str, int], rng: random.Random) -> str:
    """Draw a category; those with several things are weighted, because most have only one."""
    return rng.choices(list(numbers), [1 if n == 1 else 3 for n in numbers.values()])[0]
