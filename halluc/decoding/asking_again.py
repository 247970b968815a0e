"""Ask the model about images of a batch again, as a method's `revise` does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from halluc.decoding.batch_encoding import encoded
from halluc.decoding.generation import generate
from halluc.interventions import Method, MethodParams

if TYPE_CHECKING:
    from halluc.config import DecodingConfig
    from halluc.interventions import Batch
    from halluc.models import VisionLanguageModel

_MOST = 32
_NEW_TOKENS = 16


class Replies(NamedTuple):
    """Replies of the model to questions.

    Attributes:
        texts: One for each question.
        passes: Forward passes that each took.
        broken: By question, the first token whose logits were not finite, counted from 0.
    """

    texts: list[str]
    passes: list[float]
    broken: dict[int, int]


@dataclass(frozen=True)
class Rewritten:
    """What a batch's answers have become.

    Attributes:
        texts: One for each prompt.
        passes: Forward passes that each took.
        drafts: By row, what those that were changed said before.
        broken: By row, the first token whose logits were not finite, of a question asked about it.
    """

    texts: list[str]
    passes: list[float]
    drafts: dict[int, tuple[str, ...]] = field(default_factory=dict)
    broken: dict[int, int] = field(default_factory=dict)


def revised(
    model: VisionLanguageModel,
    method: Method,
    batch: Batch,
    written: Rewritten,
    decoding: DecodingConfig,
) -> Rewritten:
    """Let a method rewrite the answers to a batch, with questions of its own to the model.

    Args:
        written: The answers as they are.
    """
    passes, broken = list(written.passes), {}

    def ask(questions: Sequence[tuple[int, str]]) -> list[str]:
        if not questions:
            return []
        replies = ask_again(model, batch, questions, decoding)
        for (row, _), count in zip(questions, replies.passes, strict=True):
            passes[row] += count
        broken.update({questions[number][0]: at for number, at in replies.broken.items()})
        return replies.texts

    texts = method.revise(batch, list(written.texts), ask)
    pairs = enumerate(zip(written.texts, texts, strict=True))
    drafts: dict[int, tuple[str, ...]] = {
        row: (before,) for row, (before, after) in pairs if before != after
    }
    return Rewritten(texts, passes, drafts, broken)


def ask_again(
    model: VisionLanguageModel,
    batch: Batch,
    questions: Sequence[tuple[int, str]],
    decoding: DecodingConfig,
) -> Replies:
    """Ask questions about images of a batch, without any method, greedily.

    Args:
        questions: Each the row of the batch whose image it is about, and the prompt.
        decoding: The run's; its sampling and beams are left out.
    """
    plain = Method(MethodParams())
    plain.prefix_depends_on = "nothing"
    greedy = decoding.model_copy(
        update={"do_sample": False, "num_beams": 1, "max_new_tokens": _NEW_TOKENS}
    )
    texts: list[str] = []
    passes: list[float] = []
    broken: dict[int, int] = {}
    for start in range(0, len(questions), _MOST):
        part = questions[start : start + _MOST]
        rows = [row for row, _ in part]
        follow_up = replace(
            batch,
            ids=[f"{batch.ids[row]}/{number}" for number, row in enumerate(rows, start)],
            prompts=[prompt for _, prompt in part],
            images=[batch.images[row] for row in rows],
            image_hashes=[batch.image_hashes[row] for row in rows],
            histories=[()] * len(rows),
        )
        made = generate(model, plain, encoded(model, follow_up), greedy, max_new_tokens=_NEW_TOKENS)
        decoded = model.processor.tokenizer.batch_decode(made.tokens, skip_special_tokens=True)
        texts += [text.strip() for text in decoded]
        passes += made.passes
        broken |= {start + number: at for number, at in made.broken.items()}
    return Replies(texts, passes, broken)
