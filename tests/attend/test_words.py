"""Tokens become words, and words keep their tokens."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from halluc.attend.words import words_of
from halluc.models import load_model


def spelled(*pieces: str) -> list[tuple[str, int, int]]:
    """The words of pieces that a tokenizer would join; "</s>" is special."""
    table = ["</s>", *pieces]
    tokenizer: Any = SimpleNamespace(
        all_special_ids=[0],
        decode=lambda ids, **_: b"".join(
            bytes.fromhex(table[i][1:]) if table[i].startswith("\x00") else table[i].encode()
            for i in ids
            if i
        ).decode(errors="replace"),
    )
    tokens = [0 if piece == "</s>" else i for i, piece in enumerate(pieces, 1)]
    return [(word.text, word.start, word.stop) for word in words_of(tokens, tokenizer)]


def test_subtokens_are_joined_and_punctuation_stands_alone() -> None:
    found = spelled("A", " gir", "affe", " stands", ",", " calm", ".", "</s>")
    assert found == [
        ("A", 0, 1), ("giraffe", 1, 3), ("stands", 3, 4), (",", 4, 5), ("calm", 5, 6), (".", 6, 7)
    ]  # fmt: skip


def test_what_belongs_within_a_word_stays_there() -> None:
    assert spelled("It", "'", "s", " well", "-", "lit") == [("It's", 0, 3), ("well-lit", 3, 6)]
    assert spelled("dog", " ", "cat") == [("dog", 0, 1), ("cat", 2, 3)]
    assert spelled("in", " 20", "26") == [("in", 0, 1), ("2026", 1, 3)]


def test_a_sign_of_several_tokens_is_one_word() -> None:
    # é is C3 A9 in UTF-8.
    assert spelled("caf", "\x00c3", "\x00a9", " au") == [("café", 0, 3), ("au", 3, 4)]


def test_scripts_without_spaces() -> None:
    assert spelled("一只", "猫", "。") == [("一只", 0, 1), ("猫", 1, 2), ("。", 2, 3)]


def test_an_answer_of_the_embedded_model() -> None:
    tokenizer = load_model("glyph").processor.tokenizer
    text = "There is a purple cow in the middle."
    tokens = tokenizer.encode(text, add_special_tokens=False)
    words = words_of([*tokens, tokenizer.eos_token_id], tokenizer)
    assert [word.text for word in words] == [*text[:-1].split(), "."]
    assert [word.start for word in words] == [0, *(word.stop for word in words[:-1])]
    assert words[-1].stop == len(tokens)
