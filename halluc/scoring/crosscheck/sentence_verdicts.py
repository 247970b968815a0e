"""Sentences of a description, and the rules that say whether a passage supports one.

A rule that needs no model compares the objects that are named, by CHAIR's word list of the
benchmark: a sentence is supported by a passage if every object that it names is named there.
Colours, numbers and places are not compared, and sentences that name no object are left out. The
paper's rule asks a language model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from halluc.scoring.chair.metric import ObjectFinder
    from halluc.scoring.judges.judge_models import Judge

    Supports = Callable[["Sentence", str], float]
    """0 where a passage supports a sentence, 1 where it does not, 0.5 where that is not known."""

UNKNOWN = 0.5
"""The verdict where a reply says neither yes nor no, or an evidence system gave no answer."""

SUPPORT_PROMPT = (
    "Context: {context}\n\nSentence: {sentence}\n\n"
    "Is the sentence supported by the context above? Answer Yes or No.\n\nAnswer: "
)
"""SelfCheckGPT's prompt, which CrossCheckGPT's judge is asked with."""
SUPPORT_TOKENS = 5
"""The tokens of the judge's reply."""


@dataclass(frozen=True)
class Sentence:
    """A sentence of a description, and the distinct objects it names, in order."""

    text: str
    objects: tuple[str, ...] = ()


def sentences(text: str, finder: ObjectFinder | None = None) -> list[Sentence]:
    """Split a description at line ends, and after full stops, question and exclamation marks.

    The paper splits with spaCy; descriptions rarely hold what the two split differently.

    Args:
        finder: The finder of objects; None where none are looked for.
    """
    parts = (part.strip() for part in re.split(r"(?<=[.!?])\s+|\n+", text))
    return [
        Sentence(part, tuple(dict.fromkeys(finder.find(part).nodes)) if finder else ())
        for part in parts
        if re.search(r"\w", part)
    ]


def supported_by_objects(finder: ObjectFinder) -> Supports:
    """Return the rule: every object that the sentence names is named in the passage."""

    @cache  # a passage is compared with the sentences of all targets
    def named(passage: str) -> frozenset[str]:
        return frozenset(finder.find(passage).nodes)

    return lambda sentence, passage: float(not named(passage).issuperset(sentence.objects))


def supported_by_judge(judge: Judge) -> Supports:
    """Return the paper's rule: a language model is asked whether the passage supports the sentence.

    Line ends in the passage become blanks, as in the published code.
    """

    def asked(sentence: Sentence, passage: str) -> float:
        context = passage.replace("\n", " ")
        return read_support(
            judge.ask(SUPPORT_PROMPT.format(context=context, sentence=sentence.text))
        )

    return asked


def read_support(reply: str) -> float:
    """Read the judge's reply as the published code does: by its first letters."""
    text = reply.lower().strip()
    return 0.0 if text.startswith("yes") else 1.0 if text.startswith("no") else UNKNOWN
