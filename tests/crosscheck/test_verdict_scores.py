"""Scores of sentences and systems, by numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from halluc.scoring.bootstrap import estimate
from halluc.scoring.crosscheck.verdict_scores import (
    explicit,
    over_evidence,
    system_scores,
    tally,
    views,
)
from halluc.scoring.scores import tallied

# Two sentences, three evidence systems (the second is the target), two passages each.
VERDICTS = np.array([[[0, 1], [0, 0], [1, 0.5]], [[1, 1], [0, 1], [0, 0]]], dtype=float)
IS_TARGET = [False, True, False]
SAME_MODEL = [True, True, False]


def test_a_sentence_is_scored_by_the_mean_over_passages_then_over_evidence() -> None:
    by_evidence = explicit(VERDICTS)
    assert by_evidence.tolist() == [[0.5, 0.0, 0.75], [1.0, 0.5, 0.0]]
    assert over_evidence(by_evidence, [True] * 3) == pytest.approx([1.25 / 3, 0.5])
    assert over_evidence(by_evidence, [True, False, True]).tolist() == [0.625, 0.5]
    assert np.isnan(over_evidence(by_evidence, [False] * 3)).all()


def test_the_published_code_sums_over_passages() -> None:
    by_evidence = explicit(VERDICTS, "official_code")
    assert by_evidence.tolist() == [[1.0, 0.0, 1.5], [2.0, 1.0, 0.0]]


def test_which_evidence_counts() -> None:
    paper = views(IS_TARGET, SAME_MODEL)
    assert paper["cross"] == [True, False, True]
    assert paper["with_self"] == [True, True, True]
    assert paper["other_models"] == [False, False, True]
    assert paper["self"] == [False, True, False]
    official = views(IS_TARGET, SAME_MODEL, "official_code")
    assert official["cross"] == official["with_self"] == [True, True, True]
    assert official["self"] == paper["self"]


def test_a_system_is_scored_by_the_mean_over_all_sentences_of_all_images() -> None:
    counted = views(IS_TARGET, SAME_MODEL)
    first = tally("explicit", explicit(VERDICTS), counted)
    assert first == {
        "explicit_sentences": 2.0,
        "explicit_cross": 1.125,
        "explicit_with_self": pytest.approx(1.25 / 3 + 0.5),
        "explicit_other_models": 0.75,
        "explicit_self": 0.5,
    }
    second = tally("explicit", np.array([[1.0, 0.0, 1.0]]), counted)  # another image, one sentence
    names, counts = tallied([first, second])
    scores = system_scores(["explicit_cross", "explicit_self"])
    found = estimate(counts, names, scores)
    assert found == pytest.approx({"explicit_cross": 2.125 / 3, "explicit_self": 0.5 / 3})
    negated = estimate(counts, names, system_scores(["explicit_cross"], "official_code"))
    assert negated["explicit_cross"] == pytest.approx(-2.125 / 3)


def test_without_evidence_or_sentences_there_is_no_score() -> None:
    alone = views([True], [True])
    sums = tally("explicit", np.array([[1.0]]), alone)
    assert set(sums) == {"explicit_sentences", "explicit_with_self", "explicit_self"}
    silent = tally("implicit", np.empty((0, 1)), alone)
    names, counts = tallied([silent])
    assert np.isnan(estimate(counts, names, system_scores(["implicit_self"]))["implicit_self"])
