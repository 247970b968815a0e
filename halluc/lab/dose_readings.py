"""What is asked at a level of a dose, and what is read in the answer.

Of yes/no questions, hallucination is the share of absent categories that are affirmed, and recall
the share of present ones. Of descriptions, hallucination is CHAIR_i, the share of mentions that are
not there, and recall the share of categories there that are named.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from halluc.lab.dose_response import Observed
from halluc.lab.questions import named, said_yes
from halluc.scoring.chair import metric as chair

if TYPE_CHECKING:
    from halluc.types import Answer, Sample

Levels = tuple[float, ...]


@dataclass(frozen=True)
class DoseQuestion:
    """A sample with its place in a dose: the scene it is about, the level, and the dose itself."""

    sample: Sample
    scene: str
    level: int
    x: float


def by_existence(
    question: DoseQuestion, answer: Answer, levels: Levels, _: Any
) -> Iterator[Observed]:
    """Read a yes/no answer."""
    rate = "recall" if question.sample.target == "yes" else "hallucination"
    said = float(said_yes(answer))
    yield Observed(question.scene, rate, question.level, question.x, 1, said)


def by_caption(
    question: DoseQuestion, answer: Answer, levels: Levels, _: Any
) -> Iterator[Observed]:
    """Read a description."""
    yield from _counted(question, question.level, question.x, answer.text)


def by_length(
    question: DoseQuestion, answer: Answer, levels: Levels, tokenizer: Any
) -> Iterator[Observed]:
    """Read a description cut after the tokens of each level."""
    for level, tokens in enumerate(levels):
        text = first_tokens(answer.text, int(tokens), tokenizer)
        yield from _counted(question, level, tokens, text)


def first_tokens(text: str, number: int, tokenizer: Any) -> str:
    """Cut a text after some tokens; a word that is cut through is left out."""
    ends = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    if len(ends) <= number:
        return text
    end = ends[number - 1][1]
    kept = text[:end]
    if text[end : end + 1].isalnum():
        kept = kept[: len(kept) - len(kept.split(" ")[-1])]
    return kept


def _counted(question: DoseQuestion, level: int, x: float, text: str) -> Iterator[Observed]:
    counts = chair.tally(named(text), set(question.sample.target))
    for rate, happened, chances in (
        ("hallucination", "hallucinated", "mentions"),
        ("recall", "found", "truth"),
    ):
        yield Observed(question.scene, rate, level, x, counts[chances], counts[happened])
