from __future__ import annotations

import numpy as np
import pytest

from halluc.scoring.chair.metric import Mention, ObjectFinder, Tables, metrics, tally

TABLES = Tables(
    nodes={
        "dog": "dog",
        "puppy": "dog",
        "cat": "cat",
        "hot dog": "hot dog",
        "chair": "chair",
        "seat": "chair",
        "toilet": "toilet",
        "table": "dining table",
        "dog bed": "bed",
    },
    double_words={"hot dog": "hot dog", "toilet seat": "toilet"},
)
FINDER = ObjectFinder(TABLES, str.split)


def test_mentions_repeat_and_synonyms_become_objects() -> None:
    reading = FINDER.find("a dog and a puppy near a table")
    assert reading.nodes == ["dog", "dog", "dining table"]
    assert reading.mentions[1] == Mention("puppy", "dog", 4)
    assert reading.n_words == 8


def test_pairs_merge_left_to_right() -> None:
    reading = FINDER.find("hot dog dog")
    assert reading.nodes == ["hot dog", "dog"]
    assert [mention.index for mention in reading.mentions] == [0, 2]
    assert reading.n_words == 2


def test_a_toilets_seat_is_no_chair() -> None:
    assert FINDER.find("toilet seat").nodes == ["toilet"]
    assert FINDER.find("the seat of the toilet").nodes == ["toilet"]
    assert FINDER.find("a seat").nodes == ["chair"]


def test_truth_is_annotations_and_human_captions() -> None:
    assert FINDER.truth(["cat", "table", "cat"], ["a puppy", "nothing"]) == {
        "cat",
        "dining table",
        "dog",
    }


def test_counts_and_rates_by_hand() -> None:
    first = tally(FINDER.find("a dog a dog a cat a chair"), {"dog", "chair", "toilet"})
    assert first == {
        "captions": 1,
        "hallucinating": 1,
        "mentions": 4,
        "hallucinated": 1,
        "truth": 3,
        "named": 3,
        "found": 2,
        "words": 8,
    }
    second = tally(FINDER.find("nothing at all"), {"dog"})
    third = tally(FINDER.find("a dog"), {"dog"})
    totals = {name: np.array([first[name] + second[name] + third[name]]) for name in first}
    rates = {name: float(value[0]) for name, value in metrics(totals).items()}
    assert rates == pytest.approx(
        {
            "chair_s": 1 / 3,
            "chair_i": 1 / 5,
            "recall": 3 / 5,
            "precision": 3 / 4,
            "f1": 2 / 3,
            "length": 13 / 3,
            "objects": 5 / 3,
        }
    )
