"""Numbers of others: published standard errors, and p-values of real captions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.stats import sem

from halluc.scoring.answer_files import AnswerFiles
from halluc.scoring.building import build
from halluc.scoring.scores import read, score
from halluc.statistics import clustered_stderr, compare

if TYPE_CHECKING:
    from halluc.types import Answer

    Pope = tuple[Any, list[Answer]]


@pytest.fixture(scope="module")
def pope(shared: Path) -> Pope:
    """LLaVA-1.5's answers to 910 questions, six an image; the files do not name the images."""
    folder = shared / "golden/pope"
    files = AnswerFiles(
        folder / "llava15_random910_answers.jsonl", folder / "llava15_random910_labels.jsonl"
    )
    benchmark = build("pope_coco")
    answers = benchmark.read_answers(files)
    return benchmark, [replace(a, image_id=f"image {i // 6:03d}") for i, a in enumerate(answers)]


def test_standard_errors_of_910_answers(pope: Pope) -> None:
    benchmark, answers = pope
    right = [float(benchmark.right(reading)) for reading in read(benchmark, answers)]
    images = [answer.image_id for answer in answers]
    assert len(set(images)) == 152
    assert np.mean(right) == pytest.approx(0.898901, abs=5e-7)
    assert sem(right) == pytest.approx(0.0099988, abs=5e-8)
    assert clustered_stderr(right, images, "lmms-eval") == pytest.approx(0.0104368, abs=5e-8)
    assert clustered_stderr(right, images) == pytest.approx(0.0104660, abs=5e-8)


def test_the_bootstrap_agrees_with_the_clustered_formulas(pope: Pope) -> None:
    benchmark, answers = pope
    interval = score(benchmark, answers).values["random/accuracy"]
    assert interval.stderr == pytest.approx(0.01045, rel=0.02)
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * 0.01045, rel=0.02)


@pytest.mark.parametrize(
    ("model", "greedy_only", "opera_only"), [("llava-1.5", 58, 57), ("instructblip", 114, 52)]
)
def test_mcnemar_of_greedy_and_opera_captions(
    shared: Path, nltk_data: Path, model: str, greedy_only: int, opera_only: int
) -> None:
    benchmark = build("chair_coco", {"protocol": "wordnet"})
    truth = shared / "data/coco/gt_lemmatizer_full.json.gz"
    opera, greedy = (
        benchmark.read_answers(
            AnswerFiles(
                shared / f"golden/chair/captions_{model}_{decoding}.jsonl", ground_truth=truth
            )
        )
        for decoding in ("ours", "greedy")
    )
    found = compare(benchmark, opera, greedy, draws=2000)
    test = found.right_wrong
    assert test is not None
    # a caption is right if nothing in it is hallucinated: what greedy alone gets wrong, OPERA wins
    assert (test.n, test.only_ours, test.only_theirs) == (500, greedy_only, opera_only)
    if model == "llava-1.5":
        assert test.exact == 1
    else:
        assert test.exact < 1e-5
    # with one caption an image the swap test is McNemar's exact test, by drawing
    swapped = found.differences["chair_s"]
    assert swapped.p == pytest.approx(test.exact, abs=0.02)
    # OPERA's captions are shorter; at equal length InstructBLIP's CHAIR_s gain is not there
    assert found.differences["length"].high < 0
    if model == "instructblip":
        assert swapped.high < 0
        assert found.same_length["chair_s"].low < 0 < found.same_length["chair_s"].high
        assert found.same_length["chair_i"].high < 0
