"""Ask the model about images of a batch again, as a method's `revise` does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
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
    """

    texts: list[str]
    passes: list[float]


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
    return Replies(texts, passes)
