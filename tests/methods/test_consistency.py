"""Consistency: agreement by hand, what is drawn, what is withheld."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from halluc.data.coco_names import COCO_NAMES
from halluc.methods._named_objects import Vocabulary, verdict
from halluc.methods.consistency import Consistency, agreement
from halluc.testing import batch_of_questions
from tests.kit.families import picture

WORDS = Vocabulary(COCO_NAMES)


def test_verdicts() -> None:
    assert [verdict(t) for t in ("Yes, a dog.", " no", "A yes.", "nothing")] == [
        "yes", "no", None, None,
    ]  # fmt: skip


def test_agreement_of_yes_and_no() -> None:
    assert agreement("Yes.", ["yes", "No.", "Yes, it is.", "a dog"], WORDS) == 0.5


def test_agreement_of_descriptions_is_the_share_named_again() -> None:
    others = ["A dog.", "A cat and a dog.", "Snow.", "A cat, a cup and two dogs."]
    # of {dog, cat}: 1/2, 1, 0, 1
    assert agreement("There is a dog and a cat.", others, WORDS) == pytest.approx(2.5 / 4)


def test_agreement_of_other_texts() -> None:
    assert agreement("Red.", ["red", "Red ", "blue"], WORDS) == pytest.approx(2 / 3)


class Drawn:
    """Replies to prompts in turns."""

    def __init__(self, **replies: list[str]) -> None:
        self.replies = replies
        self.asked: list[tuple[int, float | None, list[tuple[int, str]]]] = []

    def __call__(
        self,
        questions: Sequence[tuple[int, str]],
        max_new_tokens: int = 16,
        temperature: float | None = None,
    ) -> list[str]:
        self.asked.append((max_new_tokens, temperature, list(questions)))
        return [self.replies[prompt].pop(0) for _, prompt in questions]

    def likelihood(self, replies: Any) -> list[float]:
        raise AssertionError


def test_each_prompt_is_drawn_as_often_and_as_long_as_its_answer() -> None:
    ask = Drawn(dog=["Yes.", "No."], all=["A dog.", "A cat."])
    batch = batch_of_questions(["dog", "all"], [picture(0)] * 2, ["a", "b"])
    method = Consistency(Consistency.Params(replies=2, temperature=0.7, threshold=0.6))
    trusted = method.confidence(batch, ["Yes.", "A cat."], ask)
    assert trusted == [0.5, 0.5] and method.withhold_below == 0.6
    short, long = ask.asked
    assert short == (16, 0.7, [(0, "dog")] * 2)
    assert long == (512, 0.7, [(1, "all")] * 2)
