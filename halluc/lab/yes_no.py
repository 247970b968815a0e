"""Yes/no questions about drawn scenes, and what a model's first token says to them.

An answer is read off the logits of its first token: yes if some spelling of "yes" has more
probability than those of "no". That is what a text of one word comes to, without writing it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import LogitsProcessor

from halluc.config import DecodingConfig
from halluc.decoding.batch_encoding import batch_of
from halluc.decoding.generation import generate
from halluc.errors import UserError
from halluc.interventions import Batch, Method, no_method
from halluc.lab.questions import existence
from halluc.types import Sample
from halluc.world import NAMES, Scene
from halluc.world.controlled import Variant
from halluc.world.themes import chance

if TYPE_CHECKING:
    from halluc.interventions.shared_prefix import Memo
    from halluc.lab.estimates import Counts
    from halluc.models import VisionLanguageModel

_BATCH = 32


@dataclass(frozen=True)
class ExistenceQuestion:
    """A yes/no question about a scene.

    Attributes:
        scene: The scene.
        category: What is asked for.
        present: Whether it is there.
    """

    scene: Scene
    category: str
    present: bool

    @property
    def sample(self) -> Sample:
        """The question in POPE's words."""
        return existence(Variant(self.scene), self.category, max_new_tokens=1)


def questions(drawn: Sequence[Scene], each: int = 3) -> list[ExistenceQuestion]:
    """Ask for things that are there, and for as many that are likelier there than any other absent.

    The absent ones are those of the scene's theme that are most often found there: POPE's
    adversarial questions, by the world's own odds in place of counts.

    Args:
        drawn: The scenes.
        each: Most things present that are asked for in a scene.
    """
    asked = []
    for one in drawn:
        there = one.categories[:each]
        absent = sorted(
            set(NAMES) - set(one.categories), key=lambda name: (-chance(one.theme, name), name)
        )
        for present, missing in zip(there, absent, strict=False):
            asked += [ExistenceQuestion(one, present, True), ExistenceQuestion(one, missing, False)]
    return asked


@dataclass(frozen=True)
class FirstTokens:
    """What a model says first to N questions.

    Attributes:
        yes, no: Logits of the spellings of "yes" and of "no" [N, spellings].
        entropy: Of the whole distribution, nats [N].
    """

    yes: Tensor
    no: Tensor
    entropy: Tensor

    @property
    def margin(self) -> Tensor:
        """Log-odds of yes against no [N]."""
        return self.yes.logsumexp(-1) - self.no.logsumexp(-1)

    def of(self, count: int) -> FirstTokens:
        """Return what is said to the first questions."""
        return FirstTokens(self.yes[:count], self.no[:count], self.entropy[:count])

    def plus(self, other: FirstTokens, weight: float) -> FirstTokens:
        """Add another view's logits, weighted; the entropy stays this one's."""
        yes, no = self.yes + weight * other.yes, self.no + weight * other.no
        return FirstTokens(yes, no, self.entropy)


class _Reader(LogitsProcessor):
    """Onlooker that reads the first generated position."""

    def __init__(self, spellings: tuple[Sequence[int], Sequence[int]]) -> None:
        self._spellings = spellings
        self.found: FirstTokens | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Read the scores; return them unchanged."""
        if self.found is None:
            logits = scores.float()
            yes, no = (logits[:, list(ids)].cpu() for ids in self._spellings)
            log_p = logits.log_softmax(-1)
            terms = torch.where(log_p.isinf(), 0.0, log_p.exp() * log_p)
            self.found = FirstTokens(yes, no, -terms.sum(-1).cpu())
        return scores


def batches(model: VisionLanguageModel, samples: Sequence[Sample]) -> Iterator[Batch]:
    """Encode samples, batch by batch."""
    for start in range(0, len(samples), _BATCH):
        yield batch_of(model, no_method(), samples[start : start + _BATCH])


def read(
    model: VisionLanguageModel, method: Method, batch: Batch, memo: Memo | None = None
) -> FirstTokens:
    """Read what a model with a method says first to a batch.

    Args:
        memo: Keeps what the prompts begin with for other methods that read it alike.

    Raises:
        UserError: If the model's tokenizer spells "yes" or "no" in several tokens only.
    """
    if model.yes_no_tokens is None:
        raise UserError(
            f"model {model.name!r}: its tokenizer has no single token for yes and for no, which "
            "the laboratory reads answers by; give another model"
        )
    reader = _Reader(model.yes_no_tokens)
    generate(model, method, batch, DecodingConfig(), max_new_tokens=1, watch=[reader], memo=memo)
    assert reader.found is not None
    return reader.found.of(batch.size)  # streams stand below each other, and say the same


def first_tokens(
    model: VisionLanguageModel, method: Method, samples: Sequence[Sample]
) -> FirstTokens:
    """Read what a model with a method says first to samples, in their order."""
    return joined([read(model, method, batch) for batch in batches(model, samples)])


def joined(parts: Sequence[FirstTokens]) -> FirstTokens:
    """Put what was read in several batches behind each other."""
    return FirstTokens(
        torch.cat([part.yes for part in parts]),
        torch.cat([part.no for part in parts]),
        torch.cat([part.entropy for part in parts]),
    )


def rights(asked: Sequence[ExistenceQuestion], said: FirstTokens) -> Counts:
    """Add up what each scene's questions contribute, scenes in the order they are asked about.

    Returns:
        By scene: "n" questions, "right" answers, answers "yes", "favour", the log-odds of the right
        answer, and "entropy" in nats.
    """
    totals: dict[str, dict[str, float]] = {}
    answers = zip(asked, said.margin.tolist(), said.entropy.tolist(), strict=True)
    for question, margin, entropy in answers:
        contributed = {
            "n": 1.0,
            "right": float((margin > 0) == question.present),
            "yes": float(margin > 0),
            "favour": margin if question.present else -margin,
            "entropy": entropy,
        }
        total = totals.setdefault(question.scene.file_name, dict.fromkeys(contributed, 0.0))
        for name, value in contributed.items():
            total[name] += value
    return list(totals.values())
