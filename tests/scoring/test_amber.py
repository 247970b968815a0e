from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest

from halluc.scoring.amber import metric as amber

if TYPE_CHECKING:
    from pathlib import Path

HEADINGS = {"Descriminative Task": "discriminative", "Exsitence": "existence"}


def printed(path: Path) -> dict[str, dict[str, float]]:
    """What inference.py printed: headings, and a line a metric under each."""
    parts: dict[str, dict[str, float]] = {}
    heading = ""
    for line in path.read_text().splitlines():
        if not line.strip():
            continue
        name, value = line.split(":")
        if value.strip():
            parts[heading][name] = float(value)
        else:
            heading = HEADINGS.get(name, name.lower())
            parts[heading] = {}
    return parts


@pytest.mark.parametrize("response", ["No", "Yes"])
def test_one_answer_to_everything(shared: Path, response: str) -> None:
    totals: Counter[str] = Counter()
    for record in json.loads((shared / "data/amber/annotations.json").read_text()):
        if record["type"] != "generative":
            totals.update(amber.discriminate(record["type"], record["truth"], response))
    want = printed(shared / f"golden/amber/all_{response.lower()}.official.txt")
    assert amber.as_printed(totals) == want
    exact = amber.discriminative({name: np.array(count) for name, count in totals.items()})
    assert exact["all/Accuracy"] == pytest.approx(want["discriminative"]["Accuracy"], abs=0.05)


def test_only_yes_and_no_are_answers() -> None:
    counts = amber.discriminate("relation", "no", "No.")
    assert counts == {
        "relation/n": 1,
        "relation/correct": 0,
        "relation/no": 1,
        "relation/said_no": 0,
        "relation/right_no": 0,
    }
    assert amber.discriminate("discriminative-relation", "yes", "yes")["relation/correct"] == 0
    assert amber.discriminate("discriminative-relation", "yes", "Yes")["relation/correct"] == 1


LEXICON = amber.Lexicon(
    related={
        "forest": ["tree", "leave"],
        "tree": [],
        "sky": ["cloud"],
        "dog": ["puppy"],
        "cat": [],
        "sun": [],
    },
    safe=frozenset({"light"}),
)


def test_descriptions_by_hand() -> None:
    counts = amber.describe(
        ["tree", "light", "puppy", "cat", "sky"], ["forest", "tree", "sky"], ["dog"], LEXICON
    )
    assert counts == {
        "nouns": 5,
        "hallucinated": 2,
        "truth": 3,
        "covered": 2,
        "likely": 1,
        "marked": 1,
        "responses": 1,
        "clean": 0,
    }


def test_an_object_associated_with_an_earlier_one_stays_uncovered() -> None:
    assert amber.describe(["tree"], ["forest", "tree"], [], LEXICON)["covered"] == 1
    assert amber.describe(["tree", "forest"], ["forest", "tree"], [], LEXICON)["covered"] == 1


def test_a_similar_word_covers_and_may_mark_too() -> None:
    def alike(noun: str, word: str) -> bool:
        return {noun, word} in ({"kitty", "cat"}, {"kitty", "puppy"})

    counts = amber.describe(["kitty"], ["cat"], ["dog"], LEXICON, alike)
    assert (counts["hallucinated"], counts["covered"], counts["marked"]) == (0, 1, 1)
    assert amber.describe(["kitty"], ["cat"], ["dog"], LEXICON)["hallucinated"] == 1


def test_nouns_are_those_of_the_vocabulary(nltk_data: Path) -> None:
    assert LEXICON.nouns("Two dogs and a cat are under trees.") == ["dog", "cat", "tree"]


def test_percentages_by_hand() -> None:
    totals = Counter(amber.describe(["cat", "sky"], ["sky"], ["dog", "sun"], LEXICON))
    totals.update(amber.describe([], ["sky"], ["dog"], LEXICON))
    row = amber.as_printed(totals)["generative"]
    assert row == {"CHAIR": 50.0, "Cover": 50.0, "Hal": 50.0, "Cog": 0.0}
    exact = amber.generative({name: np.array(float(count)) for name, count in totals.items()})
    assert {name: float(value) for name, value in exact.items()} == row
