from __future__ import annotations

import pytest

from halluc.benchmarks.glyph_chair import GlyphChair
from halluc.scoring.marks import find_marks
from halluc.types import Answer, Reading


@pytest.mark.parametrize(
    ("text", "named", "expected"),
    [
        ("Two men and a man.", ["man", "man"], ["men", "man"]),
        ("A Dining  table, knives and a knife.", ["dining table", "knife", "knife"],
         ["Dining  table", "knives", "knife"]),
        ("A catalogue of buses, and cats.", ["bus", "cat"], ["buses", "cats"]),
        ("Berries near a berry.", ["berry", "berry"], ["Berries", "berry"]),
        ("Nothing of it.", ["dog"], []),
    ],
)  # fmt: skip
def test_words_are_found_in_turn(text: str, named: list[str], expected: list[str]) -> None:
    marks = find_marks(text, [(word, True) for word in named])
    assert [text[mark.start : mark.end] for mark in marks] == expected


def test_what_is_not_there_is_marked_wrong_and_what_is_left_out_is_named() -> None:
    reader = GlyphChair()
    target = {"categories": ["dog", "apple"], "captions": []}
    answer = Answer("1", "1", "all", "", target, text="There is a dog and a cat.")
    reading = Reading(answer, reader.predict(answer))
    wrong = {answer.text[m.start : m.end]: m.right for m in reader.marks(reading)}
    assert wrong == {"dog": True, "cat": False}
    assert reader.missed(reading) == ["apple"]
