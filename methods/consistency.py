"""Consistency: withhold an answer that the model does not give again when it is asked again.

The control of methods that withhold answers: it knows no more than the model's own samples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from halluc.data.coco_names import COCO_NAMES
from halluc.interventions import Cost, Method, MethodCard, MethodParams, method
from halluc.methods._named_objects import Vocabulary, verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from halluc.interventions import Ask, Batch

_LONGEST = 512


def agreement(text: str, others: Sequence[str], vocabulary: Vocabulary) -> float:
    """Return how far other replies agree with an answer, 0 to 1: the mean over them.

    A yes or no agrees with the same one. Of a description that names objects, the share of those
    that are named again counts. Other texts agree if they are equal but for case and end.
    """
    said, named = verdict(text), set(vocabulary.named(text))

    def agrees(other: str) -> float:
        if said is not None:
            return float(verdict(other) == said)
        if named:
            return len(named & set(vocabulary.named(other))) / len(named)
        return float(other.strip(" .").lower() == text.strip(" .").lower())

    return sum(map(agrees, others)) / len(others)


@method("consistency")
class Consistency(Method):
    """Asks each prompt several times more, at a temperature, and withholds what changes."""

    card = MethodCard(
        title="SelfCheckGPT: Zero-Resource Black-Box Hallucination Detection for Generative Large "
        "Language Models",
        authors="Manakul, Liusie and Gales",
        year=2023,
        venue="EMNLP",
        paper="arXiv:2303.08896",
        code="https://github.com/potsawee/selfcheckgpt",
        licence="MIT",
        deviations=(
            "the idea is theirs, the measure ours: agreement of yes or no, or of named objects, in "
            "place of a score of sentences by another model",
            "an answer is withheld, where they score it",
            "replies are drawn without the method's other parts, and without earlier turns",
            "5 replies; the paper draws 20",
        ),
        cost=Cost(token=None, prompt=None),
    )
    prefix_depends_on = "nothing"
    noop = {"threshold": 0.0}

    class Params(MethodParams):
        """Consistency's parameters."""

        replies: int = Field(5, ge=1, description="replies drawn for each prompt")
        temperature: float = Field(1.0, gt=0, description="they are drawn at")
        threshold: float = Field(0.5, ge=0, le=1, description="least agreement of an answer given")

    params: Params

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self.withhold_below = params.threshold
        self._vocabulary = Vocabulary(COCO_NAMES)

    def confidence(self, batch: Batch, texts: list[str], ask: Ask) -> list[float]:
        """Return each answer's agreement with replies to the same prompt."""
        count, trusted = self.params.replies, []
        short = [verdict(text) is not None for text in texts]
        drawn: list[list[str]] = [[] for _ in texts]
        for brief in (True, False):
            rows = [row for row, is_brief in enumerate(short) if is_brief == brief]
            asked = [(row, batch.prompts[row]) for row in rows for _ in range(count)]
            most = 16 if brief else _LONGEST
            replies = ask(asked, most, self.params.temperature)
            for (row, _), reply in zip(asked, replies, strict=True):
                drawn[row].append(reply)
        for text, others in zip(texts, drawn, strict=True):
            trusted.append(agreement(text, others, self._vocabulary))
        return trusted
