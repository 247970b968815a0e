"""Familiarity: withhold the answer about what the model cannot recover from its own explanation.

The concept is explained from the image, and recovered in a prompt that hides every word for it.
"""

from __future__ import annotations

import re
from math import exp
from typing import TYPE_CHECKING, NamedTuple

from pydantic import Field

from halluc.data.coco_names import COCO_NAMES
from halluc.interventions import Cost, Method, MethodCard, MethodParams, method
from halluc.methods._named_objects import Vocabulary, words_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from halluc.interventions import Ask, Batch
    from halluc.models import VisionLanguageModel

EXPLAIN = "Explain what the {concept} in the image looks like, in one short paragraph."
RECOVER = (
    'This text explains something in the image, and hides its name: "{explanation}" What is it? '
    "Answer with its name alone."
)
HIDDEN = "___"


class Cloze(NamedTuple):
    """An explanation up to a place where it names a concept, and the word that stands there."""

    before: str
    word: str


def cloze(explanation: str, concept: str) -> Cloze | None:
    """Cut an explanation before the first word that names a concept; None if none does."""
    found = _named(concept).search(explanation)
    if found is None:
        return None
    before = explanation[: found.start()].rstrip()
    return Cloze(before, explanation[len(before) : found.end()])


def hidden(explanation: str, concept: str) -> str:
    """Hide every word that names a concept."""
    return _named(concept).sub(HIDDEN, explanation)


def _named(concept: str) -> re.Pattern[str]:
    words = sorted(words_for(concept), key=len, reverse=True)
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, words))})\b", re.IGNORECASE)


def least_familiar(log_likelihoods: Sequence[float | None]) -> float:
    """Return how familiar the concepts of a prompt are, 0 to 1: the least familiar one's.

    Args:
        log_likelihoods: Of each concept where its explanation names it; None where it does not.
    """
    chances = [0.0 if value is None else exp(value) for value in log_likelihoods]
    return min(chances, default=1.0)


@method("familiarity")
class Familiarity(Method):
    """Withholds answers about concepts that their own explanation does not lead back to."""

    card = MethodCard(
        title="Zero-Resource Hallucination Prevention for Large Language Models",
        authors="Luo, Xiao and Ma",
        year=2024,
        venue="EMNLP Findings",
        paper="arXiv:2309.02654",
        deviations=(
            "of text models, carried over to images, which stay in sight; concepts are the COCO "
            "categories a question names, the paper's are a tagger's, grouped and filtered",
            "recovered is the concept's name as the answer's beginning; the paper searches with "
            "beams that have to name it anywhere",
            "the least familiar concept counts; the paper weighs them by how rare their words are",
            "the paper tunes its limit on labelled data; ours is 0.1, and the area under the "
            "risk-coverage curve depends on none",
            "the embedded models know no explanations, and describe the image instead; recovered "
            "is then the word at the description's own place for the concept, and one that it "
            "leaves out is unfamiliar, whether the answer says so or not",
            "a prompt that names no concept, such as one for a description, is answered",
            "the answer is generated, too, so that what is withheld can be judged",
        ),
        cost=Cost(token=None, prompt=None),
    )
    prefix_depends_on = "nothing"
    noop = {"threshold": 0.0}

    class Params(MethodParams):
        """Familiarity's parameters; None takes what the model understands."""

        explain: str | None = Field(None, description="asks for an explanation of {concept}")
        recover: str | None = Field(None, description="asks what {explanation} is about, or ''")
        threshold: float = Field(0.1, ge=0, le=1, description="least familiarity of an answer")
        objects: tuple[str, ...] = Field(COCO_NAMES, description="categories that are concepts")
        length: int = Field(128, ge=1, description="tokens of an explanation, at most")

    params: Params

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self.withhold_below = params.threshold
        self._vocabulary = Vocabulary(params.objects)

    @classmethod
    def resolve(cls, params: Params, model: VisionLanguageModel) -> Params:
        """Choose how to ask for an explanation, and for the concept where that named it."""
        from halluc.models.names import description_prompt

        explain = params.explain or description_prompt(model.name, EXPLAIN)
        recover = params.recover
        if recover is None:
            recover = RECOVER if "{concept}" in explain else ""
        return params.model_copy(update={"explain": explain, "recover": recover})

    def confidence(self, batch: Batch, texts: list[str], ask: Ask) -> list[float]:
        """Explain each concept of each prompt, once an image and wording, and recover it."""
        assert self.params.explain is not None
        named = map(self._vocabulary.named, batch.prompts)
        asked = [(row, name) for row, names in enumerate(named) for name in names]
        prompts = [self.params.explain.replace("{concept}", name) for _, name in asked]
        keys = [(batch.image_hashes[row], p) for (row, _), p in zip(asked, prompts, strict=True)]
        first: dict[tuple[str, str], tuple[int, str]] = {}
        for (row, _), key in zip(asked, keys, strict=True):
            first.setdefault(key, (row, key[1]))
        told = dict(zip(first, ask([*first.values()], self.params.length), strict=True))
        gaps: list[tuple[int, str, str, str]] = []
        owner: list[int] = []
        for number, ((row, name), key) in enumerate(zip(asked, keys, strict=True)):
            ways = self._ways(told[key], name, key[1])
            gaps += [(row, *way) for way in ways]
            owner += [number] * len(ways)
        likeliest: dict[int, float] = {}
        for number, value in zip(owner, ask.likelihood(gaps), strict=True):
            likeliest[number] = max(value, likeliest.get(number, value))
        by_row: list[list[float | None]] = [[] for _ in texts]
        for number, (row, _) in enumerate(asked):
            by_row[row].append(likeliest.get(number))
        return [least_familiar(values) for values in by_row]

    def _ways(self, explanation: str, name: str, prompt: str) -> list[tuple[str, str, str]]:
        """List how a concept may be recovered: the prompt, what the reply says first, the word."""
        if self.params.recover:
            recover = self.params.recover.replace("{explanation}", hidden(explanation, name))
            return [(recover, "", word) for word in dict.fromkeys((name, name.capitalize()))]
        place = cloze(explanation, name)
        return [] if place is None else [(prompt, *place)]
