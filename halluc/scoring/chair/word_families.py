"""The two published families of CHAIR on COCO, and the tables they share.

They differ in how a word becomes singular. `pattern` is the original (LisaAnne/Hallucination, also
Maxlinn/CHAIR-metric-standalone); OPERA, PAI and lmms-eval run `wordnet`. On the same captions they
differ by up to 2.8 points of CHAIR_s, so a score needs its family next to it.
"""

from __future__ import annotations

import ast
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from halluc.data.pinned_files import fetch
from halluc.data.records import json_of, text_of
from halluc.errors import UserError
from halluc.plain_text import printable
from halluc.scoring.chair.metric import ObjectFinder, Tables
from halluc.scoring.text import nltk_words as english
from halluc.scoring.text.pattern_singular import singularize

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from halluc.scoring.chair.metric import Words

PUBLISHED = (
    "https://raw.githubusercontent.com/Maxlinn/CHAIR-metric-standalone/"
    "640c507166a86c07a4ea1777029ad369e2f4cc60/chair.py"
)
SHA256 = "98728cd2b7fb8b97420b5f3bf14789dcad1d7d980de9c089b82856217387770d"


@lru_cache(maxsize=8192)  # a caption is read several times: for its prediction, counts, details
def pattern_words(caption: str) -> list[str]:
    """Return tokens, each made singular by the rules of pattern 3.6."""
    return [singularize(token) for token in english.tokenize(caption.lower())]


@lru_cache(maxsize=8192)
def wordnet_words(caption: str) -> list[str]:
    """Return tokens, each lemmatised by WordNet under the part of speech of its tag."""
    tagged = english.tag(english.tokenize(caption.lower()))
    return [english.lemmatize(token, english.PARTS.get(tag[0], "noun")) for token, tag in tagged]


def noun_words(caption: str) -> list[str]:
    """Return tokens, each lemmatised as a noun: Object HalBench without its extractor."""
    return [english.lemmatize(token) for token in english.tokenize(caption.lower())]


FAMILIES: Mapping[str, Words] = {"pattern": pattern_words, "wordnet": wordnet_words}


def object_finder(family: str, tables: Tables) -> ObjectFinder:
    """Return the family's object finder.

    Raises:
        UserError: If the family is unknown.
    """
    if family not in FAMILIES:
        raise UserError(f"unknown CHAIR family {family!r}: choose from {', '.join(FAMILIES)}")
    return ObjectFinder(tables, FAMILIES[family])


def load_tables(path: Path | None = None) -> Tables:
    """Load the published vocabulary.

    Args:
        path: A JSON dump of the tables (inverse_synonym_dict, double_word_dict) or the published
            chair.py; None fetches that once from its publisher.

    Raises:
        UserError: If the file is missing or is neither.
    """
    path = fetch(PUBLISHED, SHA256) if path is None else path
    if not path.is_file():
        raise UserError(f"{path}: no such file of CHAIR tables")
    try:
        if path.suffix == ".py":
            return _published(text_of(path))
        raw = json_of(path, dict)
        return Tables(_words(raw, "inverse_synonym_dict"), _words(raw, "double_word_dict"))
    except (
        LookupError,
        AttributeError,
        TypeError,
        ValueError,
        SyntaxError,
        RecursionError,
    ) as error:
        reason = printable(f"{type(error).__name__}: {error}")
        raise UserError(
            f"{path}: needs inverse_synonym_dict and double_word_dict, or to be the published "
            f"chair.py ({reason})"
        ) from error


def _words(raw: Mapping[str, Any], name: str) -> dict[str, str]:
    words = raw[name]
    if not isinstance(words, dict) or not all(isinstance(word, str) for word in words.values()):
        raise TypeError(f"{name} is not an object of words")
    return words


def _published(source: str) -> Tables:
    """Take the tables from the published code's literals; the code is not run."""
    literals: dict[str, Any] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name in {"synonyms_txt", "coco_double_words", "animal_words", "vehicle_words"}:
                literals[name] = ast.literal_eval(node.value)
    # as published, items are not stripped: " motor bike" and " cheesecake" can never match
    lines = [line.strip().split(", ") for line in literals["synonyms_txt"].splitlines()]
    nodes = {word: line[0] for line in lines for word in line}
    pairs = {pair: pair for pair in literals["coco_double_words"]}
    for age in ("baby", "adult"):
        pairs |= {f"{age} {animal}": animal for animal in literals["animal_words"]}
    pairs |= {f"passenger {vehicle}": vehicle for vehicle in literals["vehicle_words"]}
    # the last one repairs pattern's singular of "glass"
    pairs |= {"bow tie": "tie", "toilet seat": "toilet", "wine glas": "wine glass"}
    return Tables(nodes, pairs)
