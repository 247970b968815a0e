"""Familiarity: where a concept is recovered, how likely, and what is asked for it."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import pytest

from halluc.interventions import Batch
from halluc.methods.familiarity import (
    EXPLAIN,
    RECOVER,
    Cloze,
    Familiarity,
    cloze,
    hidden,
    least_familiar,
)
from halluc.models import load_model
from halluc.models.names import DESCRIBE
from halluc.testing import batch_of_questions
from tests.kit.families import llava, picture


def test_the_concept_is_hidden_at_its_first_place() -> None:
    assert cloze("There are two dogs and a dog.", "dog") == Cloze("There are two", " dogs")
    assert cloze("Dog.", "dog") == Cloze("", "Dog")
    assert cloze("A sofa by a couch", "couch") == Cloze("A", " sofa")
    assert cloze("A hotdog.", "dog") is None


def test_the_least_familiar_concept_counts() -> None:
    assert least_familiar([log(0.5), log(0.25)]) == pytest.approx(0.25)
    assert least_familiar([log(0.5), None]) == 0
    assert least_familiar([]) == 1  # no concept: nothing is unfamiliar


class Explains:
    """Explains what it is asked about, and says how likely the word is."""

    def __init__(self, explanation: str, chance: float) -> None:
        self.explanation, self.chance = explanation, chance
        self.asked: list[tuple[int, str]] = []
        self.recovered: list[tuple[int, str, str, str]] = []

    def __call__(
        self,
        questions: Sequence[tuple[int, str]],
        max_new_tokens: int = 16,
        temperature: float | None = None,
    ) -> list[str]:
        self.asked += questions
        return [self.explanation] * len(questions)

    def likelihood(self, replies: Sequence[tuple[int, str, str, str]]) -> list[float]:
        self.recovered += replies
        return [log(self.chance)] * len(replies)


def batch() -> Batch:
    prompts = ["Is there a dog?", "Please describe.", "Is there a cat by the dog?"]
    return batch_of_questions(prompts, [picture(0)] * 3, ["a", "b", "c"])


def test_every_word_for_the_concept_is_hidden() -> None:
    assert hidden("Two Dogs: a dog by a couch.", "dog") == "Two ___: a ___ by a couch."


def test_what_is_asked_about_is_explained_and_recovered_without_its_name_in_sight() -> None:
    ask = Explains("The dog is red.", 0.25)
    params = Familiarity.Params(
        explain="What is the {concept} like?", recover='"{explanation}" is what?', threshold=0.2
    )
    method = Familiarity(params)
    trusted = method.confidence(batch(), ["Yes"] * 3, ask)
    assert trusted == [pytest.approx(0.25), 1.0, pytest.approx(0.25)]
    assert method.withhold_below == 0.2
    assert ask.asked == [(0, "What is the dog like?"), (2, "What is the cat like?")]
    dog = [(0, '"The ___ is red." is what?', "", word) for word in ("dog", "Dog")]
    cat = [(2, '"The dog is red." is what?', "", word) for word in ("cat", "Cat")]
    assert ask.recovered == [*dog, *cat, *((2, *one[1:]) for one in dog)]


def test_the_likelier_spelling_counts() -> None:
    ask = Explains("The dog is red.", 0.25)
    ask.likelihood = lambda replies: [log(0.5 if "D" in word else 0.1) for *_, word in replies]  # type: ignore[method-assign]
    method = Familiarity(Familiarity.Params(explain="{concept}?", recover="{explanation}?"))
    assert method.confidence(batch(), ["Yes"] * 3, ask)[0] == pytest.approx(0.5)


def test_without_a_question_of_its_own_the_explanations_place_counts() -> None:
    ask = Explains("The dog is red.", 0.25)
    method = Familiarity(Familiarity.Params(explain="What is the {concept} like?"))
    trusted = method.confidence(batch(), ["Yes"] * 3, ask)
    assert trusted == [pytest.approx(0.25), 1.0, 0.0]  # the cat is explained without its name
    dog = (0, "What is the dog like?", "The", " dog")
    assert ask.recovered == [dog, (2, *dog[1:])]


def test_one_explanation_serves_all_questions_about_an_image() -> None:
    ask = Explains("A dog and a cat.", 0.5)
    method = Familiarity(Familiarity.Params(explain=DESCRIBE))
    assert method.confidence(batch(), ["Yes"] * 3, ask) == [
        pytest.approx(0.5),
        1.0,
        pytest.approx(0.5),
    ]
    assert ask.asked == [(0, DESCRIBE)]


def test_how_an_explanation_is_asked_for() -> None:
    asks = Familiarity.for_model(llava()).params
    assert (asks.explain, asks.recover) == (EXPLAIN, RECOVER)
    embedded = Familiarity.for_model(load_model("glyph")).params
    assert (embedded.explain, embedded.recover) == (DESCRIBE, "")
    assert Familiarity.for_model(llava(), {"explain": "{concept}?"}).params.recover == RECOVER
    assert Familiarity.for_model(llava(), {"explain": "Describe."}).params.recover == ""
