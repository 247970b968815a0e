"""What the laboratory asks about drawn scenes, and how it reads what is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from halluc.scoring.yes_no import parse_pope
from halluc.types import Answer, Sample

if TYPE_CHECKING:
    from halluc.scoring.chair.metric import NamedObjects
    from halluc.world.controlled import Variant
    from halluc.world.scenes import Scene

SPLIT = "lab"
"""The split experiments draw their scenes from; nothing is trained, tuned or calibrated on it."""

MOST_TOKENS = 192
"""Tokens a description may have, as many as `glyph_chair` gives it."""


def scenes(number: int, least: int = 1) -> list[Scene]:
    """Draw scenes with at least `least` things.

    Args:
        number: How many scenes; a larger number begins with the same ones.
    """
    from itertools import count, islice

    from halluc.world.scenes import scene

    drawn = (scene(SPLIT, index) for index in count())
    return list(islice((one for one in drawn if len(one.things) >= least), number))


def existence(variant: Variant, category: str, max_new_tokens: int = 8) -> Sample:
    """Ask for a category in POPE's words; the target is whether it is there."""
    from halluc.world.language import exists

    return Sample(
        id=f"{variant.image_id}/{category}",
        image_id=variant.image_id,
        prompt=exists(category),
        load_image=variant.image,
        target="yes" if category in variant.scene.categories else "no",
        max_new_tokens=max_new_tokens,
    )


def caption(variant: Variant) -> Sample:
    """Ask for a description; the target is what is there."""
    from halluc.world.language import CAPTION_PROMPTS

    return Sample(
        id=f"{variant.image_id}/caption",
        image_id=variant.image_id,
        prompt=CAPTION_PROMPTS[0],
        load_image=variant.image,
        target=list(variant.scene.categories),
        max_new_tokens=MOST_TOKENS,
    )


def said_yes(answer: Answer) -> bool:
    """Return whether an answer is yes as POPE reads it, which takes all that is not no for yes."""
    return parse_pope(answer.text) != "no"


def named(text: str) -> NamedObjects:
    """Find the categories that a description names, as the drawn world's CHAIR does."""
    from halluc.benchmarks.glyph_chair import GlyphChair

    return GlyphChair().finder.find(text)
