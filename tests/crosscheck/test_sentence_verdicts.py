"""Sentences, what supports them, and what is asked about them."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

from halluc.benchmarks.glyph_chair import GlyphChair
from halluc.scoring.crosscheck.implicit_questions import OBJECTS, PAPER, questions, read_error
from halluc.scoring.crosscheck.sentence_verdicts import (
    Sentence,
    read_support,
    sentences,
    supported_by_judge,
    supported_by_objects,
)
from halluc.types import Sample

FINDER = GlyphChair().finder
SAMPLE = Sample("a", "image 1", "Describe.", lambda: Image.new("RGB", (8, 8)))


class Replies:
    """A judge that replies what it is told, and remembers what it was asked."""

    name = "local:told"

    def __init__(self, reply: str) -> None:
        self.reply, self.prompts = reply, list[str]()

    def ask(self, prompt: str) -> str:
        self.prompts.append(prompt)
        return self.reply


def test_a_description_is_split_and_its_objects_found() -> None:
    text = "Two dogs and a dog run. Is it 3.5 m to the bike?\nThe sky is blue!  ..."
    assert sentences(text, FINDER) == [
        Sentence("Two dogs and a dog run.", ("dog",)),
        Sentence("Is it 3.5 m to the bike?", ("bicycle",)),
        Sentence("The sky is blue!", ()),
    ]
    assert sentences("A dog runs.") == [Sentence("A dog runs.")]


@pytest.mark.parametrize(
    ("passage", "verdict"),
    [
        ("A man walks his dogs.", 0.0),  # synonym and plural
        ("A person stands there.", 1.0),  # one of two is missing
        ("", 1.0),
    ],
)
def test_a_passage_supports_a_sentence_by_naming_all_its_objects(
    passage: str, verdict: float
) -> None:
    (sentence,) = sentences("A person with a dog.", FINDER)
    assert supported_by_objects(FINDER)(sentence, passage) == verdict


def test_a_judge_is_asked_in_the_published_words() -> None:
    judge = Replies("Yes, it is.")
    assert supported_by_judge(judge)(Sentence("A dog runs."), "A cat.\nA dog.") == 0
    assert judge.prompts == [
        "Context: A cat. A dog.\n\nSentence: A dog runs.\n\n"
        "Is the sentence supported by the context above? Answer Yes or No.\n\nAnswer: "
    ]


@pytest.mark.parametrize(
    ("reply", "verdict"), [(" YES", 0.0), ("No.", 1.0), ("Perhaps: no", 0.5), ("", 0.5)]
)
def test_a_judges_reply_is_read_by_its_first_letters(reply: str, verdict: float) -> None:
    assert read_support(reply) == verdict


def test_each_object_is_asked_about_and_one_that_is_denied_is_an_error() -> None:
    asked = questions(Sentence("A dog and an oven.", ("dog", "oven")), SAMPLE, OBJECTS)
    assert [(one.id, one.prompt) for one in asked] == [
        ("image 1/dog", "Is there a dog in the image?"),
        ("image 1/oven", "Is there an oven in the image?"),
    ]
    assert {one.image_id for one in asked} == {"image 1"} and asked[0].max_new_tokens == 8

    def read(**said: str) -> float:
        texts = {f"image 1/{name}": text for name, text in said.items()}
        return read_error(texts, asked, OBJECTS)

    assert read(dog="Yes.", oven="Yes") == 0
    assert read(dog="Yes.", oven="No, there is none.") == 1
    assert read(dog="Yes.", oven="Hm") == read(dog="Yes.") == 0.5


@pytest.mark.parametrize(
    ("said", "error"),
    [('{"Answer": YES}', 1.0), ('{"Answer": NO}', 0.0), ("Yes and no", 0.5), ("", 0.5)],
)
def test_the_papers_question_asks_whether_there_are_errors(said: str, error: float) -> None:
    (asked,) = questions(Sentence("A dog {runs}."), SAMPLE, PAPER)
    assert "sentence about the image:\nA dog {runs}.\nDetermine if" in asked.prompt
    assert '{"Answer": <YES_or_NO>}' in asked.prompt
    assert read_error({asked.id: said}, [asked], PAPER) == error


def test_equal_sentences_are_asked_about_once_and_others_apart() -> None:
    def ids(text: str, wording: str = PAPER) -> list[Any]:
        return [one.id for one in questions(Sentence(text), SAMPLE, wording)]

    assert ids("A dog.") == ids("A dog.") != ids("A cat.")
    assert ids("The sky is blue.", OBJECTS) == []
