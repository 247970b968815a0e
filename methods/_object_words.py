"""Words for objects in an answer that is being written: where one ends, and what it names."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from halluc.methods._named_objects import words_for


class ObjectWord(NamedTuple):
    """A word, or several, that name an object at the end of an answer.

    Attributes:
        category: What it names.
        start: Its first token.
    """

    category: str
    start: int


class ObjectWords:
    """Finds words for objects at the end of an answer.

    Args:
        categories: Of the objects looked for.
        tokenizer: The model's.
    """

    def __init__(self, categories: Collection[str], tokenizer: Any) -> None:
        self._category = {word.lower(): name for name in categories for word in words_for(name)}
        words = "|".join(map(re.escape, self._category)) or r"(?!)"
        self._at_end = re.compile(rf"\b(?:{words})\Z", re.IGNORECASE)
        self._tokenizer = tokenizer

    def text(self, tokens: Sequence[int]) -> str:
        """Return what tokens say, without special ones."""
        said: str = self._tokenizer.decode(list(tokens), skip_special_tokens=True)
        return said.rstrip()

    def ended(self, tokens: Sequence[int], following: int) -> ObjectWord | None:
        """Return the object word that ends an answer, if the token that follows completes it."""
        text = self.text(tokens)
        found = self._at_end.search(text)
        silent = len(tokens) > 0 and self.text(tokens[:-1]) == text  # a special token is last
        if found is None or silent or not self._completes(text, [*tokens, following]):
            return None
        before = text[: found.start()].rstrip()
        start = next(
            n for n in range(len(tokens), -1, -1) if len(self.text(tokens[:n])) <= len(before)
        )
        return ObjectWord(self._category[found[0].lower()], start)

    def _completes(self, text: str, longer: Sequence[int]) -> bool:
        """Tell whether the last token goes on with no word: a blank, a mark or the end."""
        said = self.text(longer)
        rest = said.removeprefix(text)
        return not said.startswith(text) or not re.match(r"[\w'-]", rest)
