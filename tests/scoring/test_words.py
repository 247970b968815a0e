from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from halluc.errors import UserError
from halluc.scoring.text import nltk_words as english
from halluc.scoring.text.pattern_singular import singularize

if TYPE_CHECKING:
    from pathlib import Path

PARTS = {"a": "adj", "v": "verb", "n": "noun", "r": "adv"}


def golden(shared: Path, name: str) -> Any:
    return json.loads((shared / f"golden/chair/{name}_golden.json").read_text())


def test_8650_caption_words_become_what_pattern_makes_of_them(shared: Path) -> None:
    want = golden(shared, "singularize_vocab")
    assert len(want) == 8650
    assert {word: singularize(word) for word in want} == want


@pytest.mark.parametrize(
    ("plural", "singular"),
    [
        ("women", "woman"),
        ("people", "person"),
        ("knives", "knife"),
        ("ties", "ty"),
        ("cookies", "cookies"),
        ("buses", "bus"),
        ("bus", "bu"),
        ("dress", "dres"),
        ("glass", "glas"),
        ("scissors", "scissors"),
        ("skis", "ski"),
        ("slice", "slouse"),
        ("pasta", "pastum"),
        ("four", "fmy"),
        ("mothers-in-law", "mother-in-law"),
        ("dogs'", "dog's"),
        ("s", "s"),
        ("analyses", "analysis"),
        ("boxes", "box"),
        ("potatoes", "potato"),
        ("leaves", "leaf"),
        ("wolves", "wolf"),
        ("series", "series"),
        ("cities", "city"),
        ("roses", "rose"),
        ("t-shirts", "t-shirt"),
    ],
)
def test_rules_of_pattern(plural: str, singular: str) -> None:
    assert singularize(plural) == singular


def test_5867_tagged_words_become_what_wordnet_makes_of_them(shared: Path, nltk_data: Path) -> None:
    want = golden(shared, "lemmatize_vocab")
    assert len(want) == 5867
    for key, lemma in want.items():
        word, part = key.rsplit("|", 1)
        assert english.lemmatize(word, PARTS[part]) == lemma, key


def test_lemmas_are_the_shortest_candidate(nltk_data: Path) -> None:
    assert english.lemmatize("vases") == "vas"
    assert english.lemmatize("men") == "men"
    assert english.lemmatize("dining", "verb") == "din"
    assert english.lemmatize("qwertys") == "qwertys"
    assert english.lemmatize("better", "adj") == "good"


def test_60_captions_are_tokenised_and_tagged_as_nltk_does(shared: Path, nltk_data: Path) -> None:
    for row in golden(shared, "tokenize_tag"):
        tokens = english.tokenize(row["caption"].lower())
        assert tokens == row["tokens"]
        assert [tag for _, tag in english.tag(tokens)] == row["tags"]


def test_missing_data_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nltk")
    with pytest.raises(UserError, match="'no_such_thing' is missing: set NLTK_DATA"):
        english._find("corpora/no_such_thing.zip")
