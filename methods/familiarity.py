"""Familiarity: withhold the answer about what the model cannot recover from its own explanation.

The concept a question asks about is explained from the image; what the explanation calls it is
hidden, and the model says how likely it would have named the concept there.
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


class Cloze(NamedTuple):
    """An explanation up to a place where it names a concept, and the word that stands there."""

    before: str
    word: str


def cloze(explanation: str, concept: str) -> Cloze | None:
    """Cut an explanation before the first word that names a concept; None if none does."""
    words = sorted(words_for(concept), key=len, reverse=True)
    pattern = rf"\b(?:{'|'.join(map(re.escape, words))})\b"
    found = re.search(pattern, explanation, re.IGNORECASE)
    if found is None:
        return None
    before = explanation[: found.start()]
    space = len(before) - len(before.rstrip())
    return Cloze(before[: len(before) - space], before[len(before) - space :] + found[0])


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
            "of text models, carried over to images: a concept is explained from the image, and "
            "recovered with the image in sight",
            "concepts are the COCO categories a question names; the paper finds entities by a "
            "tagger, and groups and filters them",
            "recovered is the word at the explanation's own place for it, by its probability "
            "behind the words before; the paper masks the whole explanation, asks what it is about "
            "and searches with beams that have to name the concept",
            "the least familiar concept counts; the paper weighs concepts by how rare their words "
            "are. Most questions about images name one",
            "the paper tunes its limit on labelled data; ours is 0.1, and the area under the "
            "risk-coverage curve depends on none",
            "the embedded models know no explanations, and describe the image instead, so that a "
            "concept their description leaves out is unfamiliar",
            "a prompt that names no concept, such as one for a description, is answered",
            "the paper withholds before the answer is generated; here the answer is generated, "
            "too, so that what is withheld can be judged",
        ),
        cost=Cost(token=None, prompt=None),
    )
    prefix_depends_on = "nothing"
    noop = {"threshold": 0.0}

    class Params(MethodParams):
        """Familiarity's parameters; None takes what the model understands."""

        explain: str | None = Field(None, description="asks for an explanation of {concept}")
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
        """Choose how to ask for an explanation."""
        from halluc.models.names import description_prompt

        if params.explain is not None:
            return params
        return params.model_copy(update={"explain": description_prompt(model.name, EXPLAIN)})

    def concepts(self, prompt: str) -> list[str]:
        """Return the categories that a prompt names."""
        return self._vocabulary.named(prompt)

    def confidence(self, batch: Batch, texts: list[str], ask: Ask) -> list[float]:
        """Explain each concept of each prompt, and recover it; one explanation an image and way."""
        assert self.params.explain is not None
        asked = [(row, name) for row, p in enumerate(batch.prompts) for name in self.concepts(p)]
        prompts = [self.params.explain.replace("{concept}", name) for _, name in asked]
        keys = [(batch.image_hashes[row], p) for (row, _), p in zip(asked, prompts, strict=True)]
        first: dict[tuple[str, str], tuple[int, str]] = {}
        for (row, _), key in zip(asked, keys, strict=True):
            first.setdefault(key, (row, key[1]))
        told = dict(zip(first, ask([*first.values()], self.params.length), strict=True))
        found = [cloze(told[key], name) for (_, name), key in zip(asked, keys, strict=True)]
        rows = zip(asked, prompts, found, strict=True)
        gaps = [(row, prompt, *place) for (row, _), prompt, place in rows if place is not None]
        recovered = iter(ask.likelihood(gaps))
        by_row: list[list[float | None]] = [[] for _ in texts]
        for (row, _), place in zip(asked, found, strict=True):
            by_row[row].append(None if place is None else next(recovered))
        return [least_familiar(values) for values in by_row]
