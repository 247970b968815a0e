"""Recheck: ask the model about each object its caption names, and take out what it denies.

Ours, not a paper's. Models that make objects up while they write often deny them when they are
asked: yes-or-no questions and captions hallucinate differently.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pydantic import Field

from halluc.data.coco_names import COCO_NAMES
from halluc.interventions import Cost, Method, MethodCard, MethodParams, method
from halluc.methods._named_objects import Vocabulary, verdict

if TYPE_CHECKING:
    from halluc.interventions import Ask, Batch

_DENIAL = re.compile(r"\b(no|not)\b|n't\b", re.IGNORECASE)


def denies(reply: str) -> bool:
    """Return whether the first sentence of a reply says no."""
    return _DENIAL.search(re.split(r"[.!?]", reply.strip(), maxsplit=1)[0]) is not None


@method("recheck")
class Recheck(Method):
    """Takes out of captions what the model denies when it is asked about it."""

    card = MethodCard(
        title="Recheck: ask about each object a caption names, take out what is denied",
        authors="halluc (ours; no paper)",
        year=2026,
        venue="-",
        paper="-",
        cost=Cost(token=1, prompt=None),
    )
    prefix_depends_on = "nothing"
    noop = {"objects": ()}

    class Params(MethodParams):
        """Recheck's parameters."""

        objects: tuple[str, ...] = Field(COCO_NAMES, description="categories asked about")
        question: str = Field(
            "Is there {object} in the image?", pattern=r"\{object\}", description="{object}: a dog"
        )

    params: Params

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self.vocabulary = Vocabulary(params.objects)

    def revise(self, batch: Batch, texts: list[str], ask: Ask) -> list[str]:
        """Ask about every object of every caption; yes and no are no captions."""
        named = [
            (row, name)
            for row, text in enumerate(texts)
            if verdict(text) is None
            for name in self.vocabulary.named(text)
        ]
        asked = [(row, self.question(name)) for row, name in named]
        replies = ask(asked) if asked else []
        denied: list[set[str]] = [set() for _ in texts]
        for (row, name), reply in zip(named, replies, strict=True):
            if denies(reply):
                denied[row].add(name)
        pairs = zip(texts, denied, strict=True)
        return [self.vocabulary.without(text, gone) if gone else text for text, gone in pairs]

    def question(self, name: str) -> str:
        """Ask whether there is such a thing."""
        from halluc.world.language import article

        return self.params.question.replace("{object}", f"{article(name)} {name}")
