from __future__ import annotations

import math
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from sklearn.metrics import f1_score

from halluc.data.records import finite
from halluc.scoring.base import REGISTRY
from halluc.scoring.yes_probability import best_accuracy, calibration_error, logit_scores, p_yes
from halluc.scoring.yes_probability import probability_scores as scores
from halluc.types import Answer
from tests.kit.runs import write_run


def test_probabilities_are_of_yes_among_the_two() -> None:
    assert p_yes(math.log(0.3), math.log(0.1)) == pytest.approx(0.75)
    assert p_yes(-1000.0, 0.0) == pytest.approx(0)


def test_by_hand() -> None:
    values = scores([0.9, 0.8, 0.7, 0.6], [True, False, True, False])
    assert values["auroc"] == 0.75
    assert values["average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert values["accuracy"] == 0.5
    assert (values["best_accuracy"], values["best_threshold"]) == (0.75, 0.7)
    assert values["brier"] == pytest.approx((0.01 + 0.64 + 0.09 + 0.36) / 4)


def test_auroc_does_not_move_with_a_bias_and_f1_does() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(500) < 0.5
    logits = rng.normal(size=500) + 2 * truth
    fair, eager = 1 / (1 + np.exp(1 - logits)), 1 / (1 + np.exp(-2 - logits))
    assert scores(list(fair), list(truth))["auroc"] == scores(list(eager), list(truth))["auroc"]
    assert f1_score(truth, fair > 0.5) > 0.1 + f1_score(truth, eager > 0.5)


def test_the_best_threshold_is_the_best_of_all() -> None:
    rng = np.random.default_rng(1)
    p, truth = rng.random(60).round(1), rng.random(60) < 0.4
    tried = {t: ((p >= t) == truth).mean() for t in [*p, 2.0]}
    best, threshold = best_accuracy(p, truth)
    assert best == max(tried.values())
    assert ((p >= threshold) == truth).mean() == best


def test_calibration_by_hand() -> None:
    p, truth = np.array([0.9, 0.9, 0.1, 0.1]), np.array([True, False, False, False])
    assert calibration_error(p, truth, bins=2) == pytest.approx((0.8 + 0.2) / 4)
    assert calibration_error(np.array([1.0, 0.0]), np.array([True, False])) == 0


def test_answers_with_logits_are_scored_by_group() -> None:
    answers = [
        Answer("1", "i", "random", "", "yes", yes_no=(0.0, -1.0)),
        Answer("2", "i", "random", "", "no", yes_no=(-1.0, 0.0)),
        Answer("3", "i", "popular", "", "no", yes_no=(0.0, -1.0)),
        Answer("4", "i", "popular", "", "no"),
        Answer("5", "i", "popular", "", "no", yes_no=(0.0, 0.0), status="failed"),
    ]
    pope = REGISTRY.get("glyph_pope")()
    values = logit_scores(pope, answers)
    assert {name: value["n"] for name, value in values.items()} == {
        "random": 2,
        "all": 3,
        "popular": 1,
    }
    assert values["random"]["auroc"] == 1
    assert math.isnan(values["popular"]["auroc"])
    assert {name: value["without_probability"] for name, value in values.items()} == {
        "random": 0,
        "all": 1,
        "popular": 1,
    }
    assert logit_scores(pope, answers[3:4]) == {}


def test_log_probabilities_that_are_not_finite_are_left_out_and_counted() -> None:
    nan, infinity, null = math.nan, math.inf, cast("float", None)
    answers = [
        Answer("1", "i", "random", "", "yes", yes_no=(-0.1, -1.0)),
        Answer("2", "i", "random", "", "no", yes_no=(-1.0, -0.1)),
        Answer("3", "i", "random", "", "no", yes_no=(-infinity, -infinity)),
        Answer("4", "i", "random", "", "no", yes_no=(nan, -1.0)),
        Answer("5", "i", "random", "", "no", yes_no=(null, null)),  # as a file has them
        Answer("6", "i", "popular", "", "no", yes_no=(-infinity, -infinity)),
    ]
    values = logit_scores(REGISTRY.get("glyph_pope")(), answers)
    whole, none = values["random"], values["popular"]
    assert (whole["n"], whole["without_probability"], whole["auroc"]) == (2, 3, 1)
    assert whole["ece"] == pytest.approx(1 - 1 / (1 + math.exp(-0.9)))
    assert (none["n"], none["without_probability"]) == (0, 1)
    assert math.isnan(none["auroc"]) and math.isnan(none["ece"])
    assert finite(values)["popular"]["auroc"] is None


def test_a_run_folder_writes_them_as_null(tmp_path: Path) -> None:
    folder = write_run(tmp_path, benchmarks=())
    answer = Answer("1", "i", "random", "", "no", yes_no=(-math.inf, -math.inf))
    with folder.keeping("glyph_pope", print) as keep:
        keep([answer])
    assert '"yes_no": [null, null]' in folder.answers_file("glyph_pope").read_text()
    (stored,) = folder.answers("glyph_pope")
    assert logit_scores(REGISTRY.get("glyph_pope")(), [stored])["all"]["n"] == 0


@pytest.mark.parametrize(
    ("name", "group", "yes", "no"),
    [
        ("pope_coco", "random", "yes", "no"),
        ("dash_b", "all", "yes", "no"),
        ("r_bench", "all", {"label": "yes", "subsets": []}, {"label": "no", "subsets": []}),
        ("amber", "state", {"truth": "yes"}, {"truth": "no"}),
        ("hallusionbench", "VD", {"gt_answer": "1"}, {"gt_answer": "0"}),
    ],
)
def test_every_benchmark_of_yes_and_no_has_them(
    name: str, group: str, yes: object, no: object
) -> None:
    answers = [
        Answer("1", "i", group, "", yes, yes_no=(0.0, -1.0)),
        Answer("2", "i", group, "", no, yes_no=(-1.0, 0.0)),
    ]
    values = logit_scores(REGISTRY.get(name)(), answers)
    assert {key: (value["n"], value["auroc"]) for key, value in values.items()} == dict.fromkeys(
        (group, "all"), (2, 1)
    )


def test_others_have_none() -> None:
    described = Answer("1", "i", "generative", "", {"truth": ["dog"]}, yes_no=(0.0, 0.0))
    assert logit_scores(REGISTRY.get("amber")(), [described]) == {}
    asked = Answer("1", "i", "false premises", "", "yes", yes_no=(0.0, 0.0))
    assert logit_scores(REGISTRY.get("haloquest")(), [asked]) == {}
