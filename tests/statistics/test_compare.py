from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from halluc.data.records import finite
from halluc.errors import UserError
from halluc.scoring.base import Benchmark
from halluc.scoring.building import build
from halluc.scoring.scores import score
from halluc.statistics import compare, compare_scored
from halluc.statistics.length import first_words
from halluc.store import find_scored
from halluc.types import Answer, Reading
from tests.kit.runs import write_run
from tests.scoring.test_score import BENCHMARK, MIXED, answers


def test_a_paired_difference_is_sharper_than_two_intervals() -> None:
    rng = np.random.default_rng(1)
    base = ["yes" if ok else "no" for ok in rng.random(600) < 0.6]
    better = ["yes" if i % 20 == 0 else text for i, text in enumerate(base)]
    delta = compare(BENCHMARK, answers(better), answers(base)).differences["accuracy"]
    gained = sum(a != b for a, b in zip(base, better, strict=True)) / 600
    assert delta.value == pytest.approx(gained)
    assert 0 < delta.low < gained < delta.high
    alone = score(BENCHMARK, answers(better)).values["accuracy"]
    assert delta.high - delta.low < (alone.high - alone.low) / 2


def test_a_run_differs_from_itself_by_exactly_nothing() -> None:
    found = compare(BENCHMARK, MIXED, MIXED)
    delta = found.differences["accuracy"]
    assert (delta.value, delta.low, delta.high, delta.p) == (0, 0, 0, 1)
    assert found.ours == found.theirs
    assert (found.n, found.n_images) == (8, 4)
    assert found.right_wrong is None  # an open benchmark that does not say what is right
    assert found.same_length == {}


def test_only_samples_both_runs_answered_are_compared() -> None:
    failed = [replace(MIXED[0], status="failed"), *MIXED[1:]]
    found = compare(BENCHMARK, MIXED, failed, draws=50)
    assert found.differences["accuracy"].value == 0
    assert found.n == 7
    with pytest.raises(UserError, match="no sample in common"):
        compare(BENCHMARK, MIXED[:2], MIXED[2:])


def test_the_order_of_answers_cannot_matter_and_that_of_runs_turns_the_sign() -> None:
    other = answers(["no", "no", "yes", "no", "", "yes", "no", "yes"])
    once = compare(BENCHMARK, MIXED, other, draws=200).differences["accuracy"]
    assert once.value == 0.125
    assert compare(BENCHMARK, MIXED[::-1], other, draws=200).differences["accuracy"] == once
    back = compare(BENCHMARK, other, MIXED, draws=200).differences["accuracy"]
    assert (back.value, back.p) == (-once.value, once.p)


@pytest.mark.parametrize("name", ["glyph_mme", "glyph_chair"])
@pytest.mark.parametrize("fewer", [12, 8])
def test_what_was_counted_is_compared_as_the_answers_are(
    name: str, fewer: int, tmp_path: Path
) -> None:
    runs = (
        write_run(tmp_path, error=0.1, benchmarks=(name,)),
        write_run(tmp_path, "vhr", error=0.5, benchmarks=(name,), limit=fewer),
    )
    ours, theirs = (next(find_scored(run)) for run in runs)
    stored = compare_scored(ours, theirs, draws=50)
    read = compare(build(name), runs[0].answers(name), runs[1].answers(name), draws=50)
    assert finite(asdict(stored)) == finite(asdict(read))  # nan is not nan
    assert stored.n_images == fewer


PEOPLE = ["There is a dog.", "A red cup can be seen.", "There is a car on the left."]
TARGET = {"categories": ["dog", "cup"], "captions": []}


def described(texts: list[str]) -> list[Answer]:
    return [
        Answer(f"{i:03d}", f"image{i:03d}", "all", "", TARGET, text=text)
        for i, text in enumerate(texts)
    ]


@pytest.fixture(scope="module")
def chair() -> Benchmark:
    return build("glyph_chair")


def test_a_method_that_only_says_less_gains_nothing_at_equal_length(chair: Benchmark) -> None:
    baseline = described([" ".join(PEOPLE)] * 40)  # the car is made up, and comes last
    short = described([" ".join(PEOPLE[:2])] * 30 + [" ".join(PEOPLE)] * 10)
    found = compare(chair, short, baseline, draws=500)
    assert found.differences["chair_s"].value == -0.75
    assert found.differences["chair_s"].high < 0
    assert found.differences["chair_i"].p < 0.01
    for metric in ("chair_s", "chair_i", "recall", "length"):
        delta = found.same_length[metric]
        assert (delta.value, delta.low, delta.high, delta.p) == (0, 0, 0, 1), metric


def test_a_method_that_is_better_word_by_word_keeps_its_lead(chair: Benchmark) -> None:
    baseline = described([" ".join(PEOPLE)] * 40)
    better = described([f"{' '.join(PEOPLE[:2])} There is a dog on the left."] * 40)
    found = compare(chair, better, baseline, draws=500)
    assert found.same_length["chair_s"].value == -1
    assert found.differences["chair_s"].value == -1


def test_a_method_that_only_says_more_is_not_charged_for_it(chair: Benchmark) -> None:
    baseline = described([" ".join(PEOPLE[:2])] * 40)
    longer = described([" ".join(PEOPLE)] * 40)
    found = compare(chair, longer, baseline, draws=500)
    assert found.differences["chair_s"].value == 1
    assert found.same_length["chair_s"].value == 0


def test_a_caption_is_right_if_nothing_in_it_is_made_up(chair: Benchmark) -> None:
    texts = [" ".join(PEOPLE[:2])] * 4 + [" ".join(PEOPLE)] * 3
    found = compare(chair, described(texts), described([" ".join(PEOPLE)] * 7), draws=50)
    assert found.right_wrong is not None
    assert (found.right_wrong.only_ours, found.right_wrong.only_theirs) == (4, 0)
    assert found.right_wrong.exact == 2 / 2**4


def test_words_are_cut_where_they_end() -> None:
    text = "  A dog,\n\nand a  cat. "
    assert first_words(text, 3) == "  A dog,\n\nand"
    assert first_words(text, 5) == text.rstrip()
    assert first_words(text, 0) == ""


def test_right_is_what_the_protocol_counts() -> None:
    yes = Reading(Answer("1", "image", "random", "", "yes", text="I cannot tell."))
    assert build("pope_coco").right(yes) is True  # the official scorer takes it for a yes
    assert build("pope_coco", {"protocol": "lmms-eval"}).right(yes) is False
    both = replace(yes, prediction="both")
    assert build("pope_coco", {"protocol": "vcd"}).right(both) is True
