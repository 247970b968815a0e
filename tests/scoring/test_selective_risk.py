"""Risk and coverage by hand: what is withheld is in no other count, and is not wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isnan, log

import numpy as np
import pytest

from halluc.errors import UserError
from halluc.scoring.building import build
from halluc.scoring.scores import read, score
from halluc.scoring.selective_risk import Trusted, area_under, measured, risk_coverage
from halluc.types import Answer


def answer(number: int, right: bool, **found: object) -> Answer:
    """An answer of one random POPE question about an image of its own."""
    target = "yes" if number % 2 else "no"
    text = target if right else {"yes": "no", "no": "yes"}[target]
    known = Answer(f"random/{number}", str(number), "random", "?", target, text=text)
    return replace(known, **found)  # type: ignore[arg-type]


def area(trust: Sequence[float], loss: Sequence[float], weight: Sequence[float] = ()) -> float:
    weights = np.array([[*weight] or [1.0] * len(trust)])
    return float(area_under(weights, np.array(trust), np.array(loss))[0])


def test_area_by_hand() -> None:
    # Risks as one answer after the other is given: 0, 1/2, 1/3, 2/4.
    assert area([0.9, 0.8, 0.7, 0.6], [0, 1, 0, 1]) == pytest.approx(
        (0 + 1 / 2 + 1 / 3 + 1 / 2) / 4
    )


def test_equally_trusted_answers_are_given_together() -> None:
    assert area([0.5] * 4, [0, 1, 0, 1]) == 0.5
    # 0 of 1, then 2 of 3 for both of the tie.
    assert area([0.9, 0.5, 0.5], [0, 1, 1]) == pytest.approx((0 + 2 / 3 + 2 / 3) / 3)


def test_wrong_answers_trusted_least_are_best() -> None:
    trust, errors = [0.9, 0.8, 0.7, 0.6], [0.0, 0.0, 1.0, 1.0]
    assert area(trust, errors) < area(trust, errors[::-1])
    assert area(trust, [0.0] * 4) == 0


def test_an_answer_drawn_twice_counts_twice() -> None:
    twice = area([0.9, 0.8, 0.8], [0, 1, 1])
    assert area([0.9, 0.8], [0, 1], [1.0, 2.0]) == pytest.approx(twice)
    assert area([0.9, 0.8, 0.7], [1, 0, 1], [0.0, 2.0, 1.0]) == pytest.approx(1 / 3 / 3)


def test_coverage_and_risk_are_of_what_is_answered() -> None:
    found = [
        Trusted("a", 0.9, 0.0, True),
        Trusted("b", 0.8, 1.0, True),
        Trusted("c", 0.2, 1.0, False),
        Trusted("d", 0.1, 1.0, False),
    ]
    values = measured(found, "method")
    assert (values.coverage.value, values.risk.value) == (0.5, 0.5)
    assert values.full_risk.value == 0.75
    assert values.area.value == pytest.approx((0 + 1 / 2 + 2 / 3 + 3 / 4) / 4)
    assert values.area.low <= values.area.value <= values.area.high
    assert values.area.low < values.area.high


def test_intervals_resample_images() -> None:
    one = measured([Trusted("a", i / 9, float(i % 2), True) for i in range(8)], "method")
    assert one.area.low == one.area.high  # one image gives no spread


def test_withheld_answers_are_neither_scored_nor_wrong() -> None:
    benchmark = build("glyph_pope")
    answers = [answer(i, right=i > 1, confidence=0.9) for i in range(6)]
    answers += [answer(i, right=False, confidence=0.1, status="withheld") for i in range(6, 9)]
    answers += [Answer("random/9", "9", "random", "?", "yes", status="failed", error="no")]
    scores = score(benchmark, answers, draws=0)
    assert (scores.n, scores.failed, scores.withheld) == (6, 1, 3)
    assert scores.values["random/accuracy"].value == pytest.approx(4 / 6)
    withheld = [one for one in answers if one.status == "withheld"]
    found = risk_coverage(benchmark, read(benchmark, answers), withheld)
    assert found is not None and found.trusted_by == "method"
    assert found.coverage.value == pytest.approx(6 / 9)
    assert found.risk.value == pytest.approx(2 / 6)
    assert found.full_risk.value == pytest.approx(5 / 9)


def test_without_a_methods_confidence_the_answers_own_probability_orders() -> None:
    benchmark = build("glyph_pope")
    sure, unsure = (log(0.9), log(0.1)), (log(0.4), log(0.6))
    answers = [answer(1, right=True, yes_no=sure), answer(2, right=False, yes_no=unsure)]
    found = risk_coverage(benchmark, read(benchmark, answers), [])
    assert found is not None and found.trusted_by == "answer_probability"
    assert found.coverage.value == 1
    assert found.area.value == pytest.approx((0 + 1 / 2) / 2)
    turned = [answer(1, right=False, yes_no=sure), answer(2, right=True, yes_no=unsure)]
    other = risk_coverage(benchmark, read(benchmark, turned), [])
    assert other is not None and other.area.value == pytest.approx((1 + 1 / 2) / 2)


def test_nothing_is_said_without_any_confidence() -> None:
    benchmark = build("glyph_pope")
    assert risk_coverage(benchmark, read(benchmark, [answer(1, right=True)]), []) is None


def test_a_description_has_no_probability_of_its_own() -> None:
    benchmark = build("glyph_chair")
    told = next(iter(benchmark.samples(1)))
    said = Answer(told.id, told.image_id, told.group, told.prompt, told.target, text="a dog")
    said = replace(said, yes_no=(log(0.9), log(0.1)))
    assert risk_coverage(benchmark, read(benchmark, [said]), []) is None
    trusted = replace(said, confidence=0.5)
    found = risk_coverage(benchmark, read(benchmark, [trusted]), [])
    assert found is not None and found.trusted_by == "method"


def test_a_run_that_withholds_all_has_no_metric_and_no_coverage() -> None:
    benchmark = build("glyph_pope")
    answers = [answer(i, right=True, confidence=0.1, status="withheld") for i in range(4)]
    scores = score(benchmark, answers)
    assert (scores.n, scores.n_images, scores.withheld) == (0, 0, 4)
    assert scores.values and all(isnan(one.value) for one in scores.values.values())
    found = risk_coverage(benchmark, [], answers)
    assert found is not None and found.coverage.value == 0 and isnan(found.risk.value)
    with pytest.raises(UserError, match="none of 2 answers can be scored: all failed"):
        score(benchmark, [answer(i, right=True, status="failed") for i in range(2)])
