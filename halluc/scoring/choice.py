"""Multiple choice: options listed in a question, and the one that an answer names.

An answer is read twice: from its text, and from the log-probabilities of the options' letters at
its first token, which do not depend on how the answer is worded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_IN_BRACKETS = r"\(([A-Za-z])\)"
_BOXED = r"\\boxed\{(?:\\text\{)?\W*([A-Za-z])\W*\}"
_AT_THE_START = r"^\W*([A-Za-z])(?=[.):,]|\s*\n|\W*$)"
_NAMED_SO = r"\b(?i:answer|option|choice)(?:[\s*]+(?i:is))?[\s:*]+"
_AFTER_ANSWER = _NAMED_SO + r"([A-Z])\b"
_SMALL_AFTER_ANSWER = _NAMED_SO + r"([a-z])(?=[.):,*]|\s*$)"
_FIRST_OF_A_LIST = r"^\W*([A-Za-z])(?=\s*(?:[,;/&]|and\b|or\b))"
_NEXT_OF_A_LIST = re.compile(
    r"[\s*)]*(?:[,;/&]|\band\b|\bor\b)[\s*(]*(?:(?:and|or)\s+)?([A-Za-z])\b"
    r"(?=\W*$|\s*[.,;:)/&*]|\s+(?:and|or|are|both)\b)"
)
_ARTICLE = re.compile(r"(?:an?|the)\s+")


def read_option(text: str, options: Mapping[str, str]) -> str | None:
    """Return the letter of the option that an answer names.

    Letters count in the forms "(a)" and "\\boxed{A}" anywhere, "A", "A." or "A)" at the start, and
    "Answer: A", "the answer is A", "option A" anywhere; "A" before an option's words is an article.
    A list such as "A, B" names all of its letters. Without any letter the options' own words count;
    an option within a longer one that is named is not named itself.

    Args:
        options: A letter, in capitals, to the option's text.

    Returns:
        None where the answer names none, or several.
    """
    found = {
        letter.upper()
        for form in (_IN_BRACKETS, _BOXED, _AT_THE_START, _AFTER_ANSWER, _SMALL_AFTER_ANSWER)
        for match in re.finditer(form, text)
        if form != _AFTER_ANSWER or not _is_article(match, options)
        for letter in (match[1], *_listed_after(match))
    }
    if (first := re.match(_FIRST_OF_A_LIST, text)) and (more := _listed_after(first)):
        found |= {letter.upper() for letter in (first[1], *more)}
    found &= options.keys()
    if not found:
        found = _named(text.lower(), options)
    return found.pop() if len(found) == 1 else None


def _is_article(match: re.Match[str], options: Mapping[str, str]) -> bool:
    """Return whether a matched "A" stands before an option's words."""
    after = match.string[match.end() :].lower()
    words = (_ARTICLE.sub("", _words(option), count=1) for option in options.values())
    return match[1] == "A" and any(
        word and re.match(rf"\s+{re.escape(word)}(?!\w)", after) for word in words
    )


def _listed_after(match: re.Match[str]) -> list[str]:
    """Return the letters that follow a letter in a list: "A, B and C"."""
    letters, end = [], match.end(1)
    while found := _NEXT_OF_A_LIST.match(match.string, end):
        letters.append(found[1])
        end = found.end(1)
    return letters


def _words(option: str) -> str:
    return option.lower().strip().rstrip(".")


def _named(text: str, options: Mapping[str, str]) -> set[str]:
    """Return the letters of the options whose words occur in a text of small letters."""
    found = set()
    for letter, option in sorted(options.items(), key=lambda item: -len(item[1])):
        words = _words(option)
        occurs = rf"(?<!\w){re.escape(words)}(?!\w)"
        if words and re.search(occurs, text):
            found.add(letter)
            text = re.sub(occurs, "\n", text)
    return found


def likeliest(letters: Mapping[str, float | None] | None) -> str | None:
    """Return the letter with the highest log-probability, the first of equal ones.

    Args:
        letters: None, or None for a letter, where it is not known; as a file has -infinity.
    """
    known = {letter: p for letter, p in (letters or {}).items() if p is not None and isfinite(p)}
    return max(known, key=lambda letter: known[letter]) if known else None


@dataclass(frozen=True)
class Listed:
    """A question that lists its options.

    Attributes:
        text: The question with its options.
        places: Each option's letter, and where its text starts and ends.
    """

    text: str
    places: tuple[tuple[str, int, int], ...]

    @property
    def options(self) -> dict[str, str]:
        """Each option's text by its letter."""
        return {letter: self.text[start:end] for letter, start, end in self.places}

    def rotated(self, by: int, fixed: int = 0) -> Listed:
        """Move every option's text up by some places; the first ones become the last.

        MMBench's CircularEval (arXiv 2307.06281, section 4.3) asks a question in all rotations.

        Args:
            by: How many places.
            fixed: How many of the last options stay: "None of the above" must be below the others.
        """
        texts = [*self.options.values()]
        turning = texts[: len(texts) - fixed]
        texts = [*turning[by:], *turning[:by], *texts[len(turning) :]]
        out, places, end = "", list[tuple[str, int, int]](), 0
        for (letter, start, stop), text in zip(self.places, texts, strict=True):
            out += self.text[end:start]
            places.append((letter, len(out), len(out) + len(text)))
            out, end = out + text, stop
        return Listed(out + self.text[end:], tuple(places))


def listed(text: str, marker: str, letters: str = "ABCDEFGH") -> Listed:
    """Find the options that a question lists.

    Args:
        marker: A pattern of what stands before an option, with LETTER for its letter. The option
            goes on until the next marker, or until the end.
        letters: In their order; options end with the first letter that is not there.

    Returns:
        Without places if there are not two options.
    """
    marks, start = list[re.Match[str]](), 0
    for letter in letters:
        mark = re.compile(marker.replace("LETTER", letter)).search(text, start)
        if mark is None:
            break
        marks.append(mark)
        start = mark.end()
    ends = [*(mark.start() for mark in marks[1:]), len(text.rstrip())]
    places = tuple(
        (letter, mark.end(), max(mark.end(), end))
        for letter, mark, end in zip(letters, marks, ends, strict=False)
    )
    return Listed(text, places if len(places) > 1 else ())


def turned(answer: str, letters: str, by: int) -> str:
    """Return the letter of an option after `Listed.rotated`.

    Args:
        answer: Its letter before.
        letters: Those that turn, in their order; others stay.
    """
    if answer not in letters:
        return answer
    return letters[(letters.index(answer) - by) % len(letters)]
