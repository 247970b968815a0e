"""The words of this world: the questions, and the names of each category in captions."""

from __future__ import annotations

from typing import Literal

from halluc.world.catalog import COLOURS, NAMES

Side = Literal["left", "right"]

CAPTION_PROMPTS: tuple[str, ...] = (
    "Please describe this image in detail.",
    "Please help me describe the image in detail.",
)
"""The two prompts that CHAIR is run with."""

YES_OR_NO = " Please answer yes or no."
"""The ending of each of MME's questions."""
ONE_WORD: tuple[str, ...] = (
    " Please answer this question with one word.",
    "\nAnswer the question using a single word or phrase.",
)
"""The endings that VCD and LLaVA append to POPE's questions."""

NUMBERS: dict[int, str] = {1: "one", 2: "two", 3: "three", 4: "four"}
"""Counts in words."""

_IRREGULAR = {
    "person": "people", "skis": "skis", "bus": "buses", "bench": "benches", "sheep": "sheep",
    "knife": "knives", "couch": "couches", "wine glass": "wine glasses",
}  # fmt: skip

PLURALS: dict[str, str] = {name: _IRREGULAR.get(name, name + "s") for name in NAMES}
"""The plural of each category's name."""

_OTHER_NAMES: dict[str, tuple[str, ...]] = {
    "person": ("man", "men", "woman", "women"),
    "bicycle": ("bike", "bikes"),
    "motorcycle": ("motorbike", "motorbikes"),
    "airplane": ("plane", "planes"),
    "fire hydrant": ("hydrant", "hydrants"),
    "handbag": ("purse", "purses"),
    "sports ball": ("ball", "balls"),
    "dining table": ("table", "tables"),
    "couch": ("sofa", "sofas"),
    "tv": ("television", "televisions"),
    "cell phone": ("phone", "phones"),
    "cup": ("mug", "mugs"),
    "refrigerator": ("fridge", "fridges"),
}

SYNONYMS: dict[str, list[str]] = {
    name: list(dict.fromkeys((name, PLURALS[name], *_OTHER_NAMES.get(name, ())))) for name in NAMES
}
"""Every word, singular and plural, by which a caption may name a category; the name comes first."""


def article(words: str) -> str:
    """Return "a" or "an", by POPE's rule: "an" before a, e, i, o and u."""
    return "an" if words[0] in "aeiou" else "a"


def exists(category: str) -> str:
    """Ask for a category in POPE's words: "Is there a dog in the image?"."""
    return f"Is there {article(category)} {category} in the image?"


def exists_here(category: str) -> str:
    """Ask for a category in MME's words: "Is there a dog in this image?"."""
    return f"Is there {article(category)} {category} in this image?"


def count(category: str, number: int) -> str:
    """Ask for a number from 1 to 4: "Are there two dogs in this image?"."""
    if number == 1:
        return f"Is there only one {category} in this image?"
    return f"Are there {NUMBERS[number]} {PLURALS[category]} in this image?"


def colour(category: str, hue: str) -> str:
    """Ask for the colour of the only thing of a category: "Is the dog red?"."""
    return f"Is the {category} {hue}?"


def coloured(category: str, hue: str) -> str:
    """Ask for a category in a colour: "Is there a red dog in the image?"."""
    return f"Is there {article(hue)} {hue} {category} in the image?"


def position(category: str, side: Side) -> str:
    """Ask for the side of the only thing of a category: "Is the dog on the left side ...?"."""
    return f"Is the {category} on the {side} side of the image?"


HUES: tuple[str, ...] = tuple(COLOURS)
"""The eight colours' names."""
