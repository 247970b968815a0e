"""Questions that evidence systems answer about a target's sentences, each with its image.

The paper asks whether a sentence has errors. A small model that was trained on few kinds of
questions cannot read that; it is asked POPE's question about each object that the sentence names,
and the sentence has an error where one of its objects is denied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from halluc.config import content_hash
from halluc.scoring import yes_no
from halluc.scoring.crosscheck.sentence_verdicts import UNKNOWN
from halluc.scoring.pope.questions import corrected_wording
from halluc.types import Sample

if TYPE_CHECKING:
    from collections.abc import Mapping

    from halluc.scoring.crosscheck.sentence_verdicts import Sentence

OBJECTS = "objects"
"""The name of the question about each object."""
SENTENCE = "{sentence}"
"""What a wording has in the place of the sentence."""
PAPER = (
    f"You are given the following sentence about the image:\n{SENTENCE}\n"
    "Determine if the sentence contains any factual errors. Answer YES if it has errors, and NO "
    'if it does not. Your answer should be in the following format:\n{"Answer": <YES_or_NO>}'
)
"""The published wording, in which "the image" stands for the person that texts are about there."""
TOKENS = 8
"""The tokens of an answer, as in the published code."""


def questions(sentence: Sentence, about: Sample, wording: str) -> list[Sample]:
    """Return what is asked about a sentence; nothing of one without objects by `OBJECTS`.

    Args:
        about: A sample about the image.
        wording: `OBJECTS`, or a text with `SENTENCE` in it.
    """
    if wording == OBJECTS:
        asked = {name: corrected_wording(name) for name in sentence.objects}
    else:
        asked = {content_hash(sentence.text): wording.replace(SENTENCE, sentence.text)}
    return [
        Sample(
            id=f"{about.image_id}/{key}",
            image_id=about.image_id,
            prompt=prompt,
            load_image=about.load_image,
            max_new_tokens=TOKENS,
        )
        for key, prompt in asked.items()
    ]


def read_error(answers: Mapping[str, str], asked: list[Sample], wording: str) -> float:
    """Read an evidence system's answers about a sentence.

    Args:
        answers: Sample id to text; ids that are missing were not answered.
        asked: The questions about the sentence.

    Returns:
        1 where the sentence has an error, 0 where it has none, 0.5 where that is not known.
    """
    read = _denied if wording == OBJECTS else _has_errors
    return max(read(answers[one.id]) if one.id in answers else UNKNOWN for one in asked)


def _denied(answer: str) -> float:
    verdict = yes_no.POPE["official"].parse(answer)
    return {"no": 1.0, "yes": 0.0}.get(str(verdict), UNKNOWN)


def _has_errors(answer: str) -> float:
    """Return the published reading: it holds one of yes and no, and not the other."""
    text = answer.lower()
    if ("yes" in text) == ("no" in text):
        return UNKNOWN
    return float("yes" in text)
