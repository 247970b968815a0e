"""Demonstrations in words the tiny models know: theirs are not those of the drawn world."""

from __future__ import annotations

from halluc.calibration.demonstrations import Demonstration
from tests.kit.families import picture

_CAPTIONS = (
    ("there is a dog", "there is a cat"),
    ("this image is a cat please", "this image is a car please"),
    ("a car in the image", "a dog in the image"),
    ("is there a dog . yes there is", "is there a car . yes there is"),
    ("describe the car ? no", "describe the cat ? no"),
    ("the cat is in the image", "the car is in the image"),
    ("this is a dog", "this is a car"),
    ("please describe a cat in this image", "please describe a dog in this image"),
)


def in_known_words(count: int) -> list[Demonstration]:
    """Give pictures of noise with captions that differ in one word each."""
    shown = enumerate(_CAPTIONS[i % len(_CAPTIONS)] for i in range(count))
    return [Demonstration(picture(20 + i), "describe this image", *two) for i, two in shown]
