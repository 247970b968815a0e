"""Tokens of an answer joined to words."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any, NamedTuple

_WITHIN = "'’-_"
"""A piece that begins with one of these goes on with the word before it."""


class Word(NamedTuple):
    """A word of an answer.

    Attributes:
        text: Without spaces around it.
        start, stop: The tokens it is made of, `tokens[start:stop]`.
    """

    text: str
    start: int
    stop: int


def words_of(tokens: Sequence[int], tokenizer: Any) -> list[Word]:
    """Join tokens to words; special tokens belong to none.

    A word goes on until a space, or until letters and digits change to punctuation. Signs of
    scripts without spaces stand alone; a sign that several tokens spell is in one word.

    Args:
        tokens: Of an answer.
        tokenizer: The model's.
    """
    special = set(tokenizer.all_special_ids)
    words: list[Word] = []
    before, begun = "", None
    for i, token in enumerate(tokens):
        if token in special:
            continue
        begun = i if begun is None else begun
        whole = tokenizer.decode(
            tokens[: i + 1], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        piece = whole[len(before) :]
        if not piece or piece.endswith("\ufffd"):  # a sign that is not complete yet
            continue
        before = whole
        if not piece.strip():
            words = words and [*words[:-1], words[-1]._replace(text=words[-1].text + piece)]
        elif words and words[-1].stop == begun and _goes_on(words[-1].text, piece):
            words[-1] = words[-1]._replace(text=words[-1].text + piece, stop=i + 1)
        else:
            words.append(Word(piece, begun, i + 1))
        begun = None
    return [word._replace(text=word.text.strip()) for word in words]


def _goes_on(word: str, piece: str) -> bool:
    """Return whether a piece belongs to the word before it."""
    last, first = word[-1], piece[0]
    if last.isspace() or first.isspace():
        return False
    if _alone(last) or _alone(first):
        return False
    if first in _WITHIN or last in _WITHIN:
        return True
    return last.isalnum() == first.isalnum()


def _alone(sign: str) -> bool:
    """Return whether a sign is of a script that puts no spaces between words."""
    name = unicodedata.name(sign, "")
    return name.startswith(("CJK", "HIRAGANA", "KATAKANA", "THAI"))
