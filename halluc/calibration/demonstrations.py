"""Demonstrations: drawn pictures, each with a caption that is true and one that is not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import Any, NamedTuple, TypeVar

from PIL import ImageStat
from PIL.Image import Image

from halluc.calibration.calibration_samples import refuse_too_many
from halluc.errors import UserError
from halluc.types import Sample
from halluc.world import CATEGORY, NAMES, Scene, render, scene, true_captions
from halluc.world.language import CAPTION_PROMPTS, PLURALS, SYNONYMS
from halluc.world.scenes import generator

SPLIT = "calibration"

Params = TypeVar("Params")


class Demonstration(NamedTuple):
    """A picture and two captions of as many words, wherever the vocabulary allows.

    Attributes:
        prompt: The request that both captions answer.
        truthful: A caption in which everything mentioned is there.
        hallucinated: The same caption with an absent object in place of one that is there.
    """

    image: Image
    prompt: str
    truthful: str
    hallucinated: str


def drawn_demonstrations(count: int) -> list[Demonstration]:
    """Make demonstrations of scenes drawn for calibration, which no benchmark uses.

    Args:
        count: How many; the first ones of more demonstrations are the same.

    Raises:
        UserError: If they are too many.
    """
    refuse_too_many(count, "demos")
    found = []
    for index in range(count):
        drawn = scene(SPLIT, index)
        caption = true_captions(drawn)[0]
        wrong = hallucinated(drawn, caption, generator("demonstrations", index))
        found.append(Demonstration(render(drawn), CAPTION_PROMPTS[0], caption, wrong))
    return found


def counted(params: Params, samples: Sequence[Sample], method: str) -> Params:
    """Take as many demonstrations as samples to calibrate on, unless `demos` says how many.

    Raises:
        UserError: If the samples are not of drawn scenes.
    """
    given: Any = params
    if any(sample.id.partition("/")[0] != SPLIT for sample in samples):
        raise UserError(
            f"method {method!r} is calibrated on captions known to be true or not, of drawn scenes "
            "only; leave out --images and --benchmark"
        )
    demos = given.demos if "demos" in given.model_fields_set else len(samples)
    filled: Params = given.model_copy(update={"demos": demos})
    return filled


def hallucinated(drawn: Scene, caption: str, rng: Random) -> str:
    """Put an absent object in place of one that a true caption mentions, wherever it does.

    Pairs of one kind (COCO's supercategory) are preferred, among them those of as many words.

    Args:
        caption: One of the scene's true captions; its opening, which names the place, is kept.
        rng: Chooses among the best pairs.
    """
    opening, stop, rest = caption.partition(". ")
    pairs: dict[tuple[bool, bool], list[tuple[str, str]]] = {}
    for name in drawn.categories:
        word = next((word for word in SYNONYMS[name] if re.search(rf"\b{word}\b", rest)), None)
        several = sum(thing.category == name for thing in drawn.things) > 1
        for other in NAMES:
            if word and other not in drawn.categories:
                put = PLURALS[other] if several else other
                other_kind = CATEGORY[name].supercategory != CATEGORY[other].supercategory
                longer = len(word.split()) != len(put.split())
                pairs.setdefault((other_kind, longer), []).append((word, put))
    word, put = rng.choice(pairs[min(pairs)])
    return opening + stop + re.sub(rf"\b{word}\b", put, rest)


def masked_copies(image: Image, cells: int, copies: int, ratio: float, seed: int) -> list[Image]:
    """Copy a picture, each time with other cells of a grid hidden behind its mean colour.

    Args:
        cells: Cells along each side.
        ratio: The share of cells that are hidden, rounded down.
    """
    draw = Random(seed)
    mean = tuple(round(channel) for channel in ImageStat.Stat(image).mean)
    found = []
    for _ in range(copies):
        copy = image.copy()
        for cell in draw.sample(range(cells**2), int(ratio * cells**2)):
            row, column = divmod(cell, cells)
            left, right = (at * image.width // cells for at in (column, column + 1))
            top, bottom = (at * image.height // cells for at in (row, row + 1))
            copy.paste(mean, (left, top, right, bottom))
        found.append(copy)
    return found
