"""Objects that texts name: found, and taken out; and the verdict of a text that gives one."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Literal

_OTHER_WORDS = {
    "knife": ("knife", "knives"), "mouse": ("mouse", "mice"), "scissors": ("scissors",),
    "orange": ("oranges",),  # one orange may be a colour
}  # fmt: skip
_SOME = "a|an|the|one|two|three|four|five|several|some|many"
_VERDICT = re.compile(r"\W*(yes|no)\b", re.IGNORECASE)
_SENTENCE = re.compile(r".+?(?:[.!?]+(?=\s|$)|$)\s*", re.DOTALL)


def verdict(text: str) -> Literal["yes", "no"] | None:
    """Return the yes or no that a text begins with; None where it is something else."""
    found = _VERDICT.match(text)
    if found is None:
        return None
    return "yes" if found[1].lower() == "yes" else "no"


def words_for(name: str) -> Sequence[str]:
    """Return the words, singular and plural, by which a caption may name a category."""
    from halluc.world.language import SYNONYMS  # its package draws, and loads numpy

    hissing = name.endswith(("s", "x", "ch", "sh"))
    return SYNONYMS.get(name) or _OTHER_WORDS.get(name, (name, name + ("es" if hissing else "s")))


class Vocabulary:
    """The objects that are looked for in texts.

    Args:
        names: Their categories.
    """

    def __init__(self, names: Collection[str]) -> None:
        self._name = {word.lower(): name for name in names for word in words_for(name)}
        longest_first = sorted(self._name, key=len, reverse=True)
        word = "|".join(map(re.escape, longest_first)) or r"(?!)"
        item = rf"(?:(?:{_SOME})\s+(?:[\w-]+\s+){{0,2}}?)?(?:{word})"
        self._word = re.compile(rf"\b(?:{word})\b", re.IGNORECASE)
        self._list = re.compile(
            rf"\b{item}(?:(?:,? and |, ){item})+\b(?!\s+(?:is|was|has)\b)", re.IGNORECASE
        )

    def named(self, text: str) -> list[str]:
        """Return the categories that a text names, each once, in its order."""
        found = self._word.finditer(text)
        return list(dict.fromkeys(self._name[match[0].lower()] for match in found))

    def without(self, text: str, denied: Collection[str]) -> str:
        """Take objects out of a text: from lists the phrase, elsewhere the sentence.

        Returns:
            The text that is left; the whole text where that would be nothing.
        """
        return "".join(self._left(text, denied)).strip() or text

    def _left(self, text: str, denied: Collection[str]) -> Iterator[str]:
        for match in _SENTENCE.finditer(text):
            sentence = match[0]
            if set(self.named(sentence)) & set(denied):
                sentence = self._shortened(sentence, denied)
            if not set(self.named(sentence)) & set(denied):
                yield sentence

    def _shortened(self, sentence: str, denied: Collection[str]) -> str:
        """Take phrases out of the lists of a sentence that name other objects, too."""
        for match in reversed(list(self._list.finditer(sentence))):
            items = re.split(r",? and |, ", match[0])
            left = [item for item in items if not set(self.named(item)) & set(denied)]
            if not left or len(left) == len(items):
                continue
            before, behind = sentence[: match.start()], sentence[match.end() :]
            if len(left) == 1 and re.match(r"(?:a|an|one)\b", left[0], re.IGNORECASE):
                before = re.sub(r"\bare((?: also)? )$", r"is\1", before)
                behind = re.sub(r"^ are\b", " is", behind)
            joined = " and ".join(part for part in (", ".join(left[:-1]), left[-1]) if part)
            sentence = before + joined + behind
        return sentence[:1].upper() + sentence[1:]
