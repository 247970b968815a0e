from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from halluc.scoring.confusion_rates import COUNTS, confusion, group_rates, ratio, tally
from halluc.scoring.yes_no import POPE, ReadingRule
from halluc.types import Answer, Reading

if TYPE_CHECKING:
    from pathlib import Path


def reading(
    number: int, text: str, label: str, protocol: ReadingRule, group: str = "all"
) -> Reading:
    answer = Answer(str(number), "image", group, "", label, text=text)
    return Reading(answer, protocol.parse(text))


def scored(rows: list[tuple[str, str]], name: str) -> tuple[dict[str, float], dict[str, float]]:
    protocol = POPE[name]
    readings = [reading(i, text, label, protocol) for i, (text, label) in enumerate(rows)]
    counts = tally(readings, protocol)
    totals = {key: np.array([value]) for key, value in counts.items()}
    return counts, {k: float(v[0]) for k, v in group_rates(totals, ("all",), protocol).items()}


def lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def rows(shared: Path) -> list[tuple[str, str]]:
    """The first 910 questions of POPE's random split, as LLaVA-1.5 answered them."""
    answers = lines(shared / "golden/pope/llava15_random910_answers.jsonl")
    labels = lines(shared / "golden/pope/llava15_random910_labels.jsonl")
    return [(a["answer"], b["label"]) for a, b in zip(answers, labels, strict=True)]


@pytest.mark.parametrize("name", ["official", "opera", "vcd", "vlmevalkit", "repope"])
def test_910_real_answers(rows: list[tuple[str, str]], name: str) -> None:
    counts, rates = scored(rows, name)
    assert [counts[f"all/{cell}"] for cell in ("tp", "fp", "tn", "fn")] == [413, 50, 405, 42]
    assert counts["all/unread"] == 0
    assert rates["accuracy"] == pytest.approx(0.8989010989, abs=1e-10)
    assert rates["precision"] == pytest.approx(0.8920086393, abs=1e-10)
    assert rates["recall"] == pytest.approx(0.9076923077, abs=1e-10)
    assert rates["f1"] == pytest.approx(0.8997821351, abs=1e-10)
    assert rates["yes_ratio"] == pytest.approx(0.5087912088, abs=1e-10)


def test_910_real_answers_by_lmms_eval(rows: list[tuple[str, str]]) -> None:
    counts, rates = scored(rows, "lmms-eval")
    assert counts["all/unread"] == 910
    assert [rates[k] for k in ("accuracy", "precision", "recall", "f1")] == [0, 0, 0, 0]
    assert rates["yes_ratio"] == 0.5
    _, rates = scored([(text.split(",")[0], label) for text, label in rows], "lmms-eval")
    assert rates["f1"] == pytest.approx(0.8997821351, abs=1e-10)
    assert rates["yes_ratio"] == 0.5  # the labels' own


MIXED = [
    ("yes", "yes"),
    ("yes", "no"),
    ("no", "no"),
    ("no", "yes"),
    ("a dog", "yes"),
    ("a cat", "yes"),
    ("a cow", "no"),
]


@pytest.mark.parametrize(
    ("name", "n", "correct", "cells", "yes"),
    [
        ("official", 7, 4, (3, 2, 1, 1), 5),  # says neither: yes
        ("opera", 7, 4, (3, 2, 1, 1), 5),
        ("vcd", 7, 2, (1, 2, 1, 3), 3),  # the opposite of the label
        ("lmms-eval", 7, 2, (1, 1, 1, 1), 4),  # wrong, and in no cell; yes from the labels
        ("vlmevalkit", 7, 2, (1, 1, 2, 3), 2),  # no in the cells, yet wrong
        ("repope", 4, 2, (1, 1, 1, 1), 2),  # dropped
    ],
)
def test_policies_for_what_cannot_be_read(
    name: str, n: int, correct: int, cells: tuple[int, ...], yes: int
) -> None:
    counts, rates = scored(MIXED, name)
    assert (counts["all/n"], counts["all/correct"], counts["all/yes"]) == (n, correct, yes)
    assert tuple(counts[f"all/{cell}"] for cell in ("tp", "fp", "tn", "fn")) == cells
    assert counts["all/unread"] == 3
    assert rates["accuracy"] == correct / n
    assert rates["yes_ratio"] == yes / n


def test_vcd_counts_yes_and_no_right_for_either_label() -> None:
    counts, _ = scored([("yes and no", "yes"), ("yes and no", "no")], "vcd")
    assert counts["all/tp"] == counts["all/tn"] == 1
    assert counts["all/yes"] == 1


def test_undefined_is_nan_or_zero_as_the_protocol_has_it() -> None:
    _, official = scored([("no", "no")], "official")
    assert math.isnan(official["precision"])
    assert math.isnan(official["f1"])
    _, lmms = scored([("no", "no")], "lmms-eval")
    assert lmms["precision"] == lmms["f1"] == 0
    _, found_nothing = scored([("no", "yes")], "official")
    assert found_nothing["f1"] == 0


def test_groups_are_scored_apart_and_averaged() -> None:
    protocol = POPE["official"]
    readings = [
        reading(1, "yes", "yes", protocol, "random"),
        reading(2, "yes", "no", protocol, "popular"),
        reading(3, "no", "no", protocol, "popular"),
    ]
    totals = {name: np.array([count]) for name, count in tally(readings, protocol).items()}
    rates = group_rates(totals, ("random", "popular"), protocol)
    assert rates["random/accuracy"][0] == 1
    assert rates["popular/accuracy"][0] == 0.5
    assert rates["accuracy"][0] == 0.75


def test_confusion_names_every_count() -> None:
    assert tuple(confusion(None, "yes", POPE["repope"])) == COUNTS
    assert ratio(np.array([1.0, 1.0]), np.array([2.0, 0.0]), 0.0).tolist() == [0.5, 0.0]
