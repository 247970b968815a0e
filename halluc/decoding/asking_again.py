"""Ask the model about images of a batch again, as a method's `streams` and `revise` do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch

from halluc.config import DecodingConfig
from halluc.decoding.batch_encoding import encoded
from halluc.decoding.generation import generate
from halluc.interventions import Method, MethodParams

if TYPE_CHECKING:
    from halluc.interventions import Batch
    from halluc.models import VisionLanguageModel

_MOST = 32


@dataclass(frozen=True)
class Rewritten:
    """What a batch's answers have become.

    Attributes:
        texts: One for each prompt.
        drafts: By row, what those that were changed said before.
    """

    texts: list[str]
    drafts: dict[int, tuple[str, ...]] = field(default_factory=dict)


class AskingAgain:
    """Asks the model, without any method, about images of a batch; counts what that takes.

    Args:
        model: The model.
        batch: Its images; histories are left out.

    Attributes:
        passes: Forward passes for each row of the batch so far.
        broken: By row, the first token of a reply whose logits were not finite.
    """

    def __init__(self, model: VisionLanguageModel, batch: Batch) -> None:
        self._model = model
        self._batch = batch
        self._asked: Counter[int] = Counter()
        self.passes = [0.0] * batch.size
        self.broken: dict[int, int] = {}

    def __call__(
        self,
        questions: Sequence[tuple[int, str]],
        max_new_tokens: int = 16,
        temperature: float | None = None,
    ) -> list[str]:
        """Ask questions, as `Ask` says."""
        draws = temperature is not None
        decoding = DecodingConfig(do_sample=draws, temperature=temperature or 1.0)
        texts: list[str] = []
        for start in range(0, len(questions), _MOST):
            part = questions[start : start + _MOST]
            texts += self._together(part, decoding, max_new_tokens)
        return texts

    def _together(
        self, questions: Sequence[tuple[int, str]], decoding: DecodingConfig, most: int
    ) -> list[str]:
        """Ask no more questions than a batch holds."""
        batch, model = self._batch, self._model
        ids = []
        for row, _ in questions:
            ids.append(f"{batch.ids[row]}/{self._asked[row]}")
            self._asked[row] += 1
        rows = [row for row, _ in questions]
        again = replace(
            batch,
            ids=ids,
            prompts=[prompt for _, prompt in questions],
            images=[batch.images[row] for row in rows],
            image_hashes=[batch.image_hashes[row] for row in rows],
            histories=[()] * len(rows),
            rendered=(),
            inputs={},
        )
        plain = Method(MethodParams())
        plain.prefix_depends_on = "nothing"
        made = generate(model, plain, encoded(model, again), decoding, max_new_tokens=most)
        for row, passes in zip(rows, made.passes, strict=True):
            self.passes[row] += passes
        self.broken |= {rows[number]: at for number, at in made.broken.items()}
        decoded = model.processor.tokenizer.batch_decode(made.tokens, skip_special_tokens=True)
        return [text.strip() for text in decoded]

    def likelihood(self, replies: Sequence[tuple[int, str, str, str]]) -> list[float]:
        """Return log p(going on | image, prompt, beginning), summed over tokens.

        Args:
            replies: Each the row whose image it is about, the prompt, how the reply begins, and
                how it goes on.
        """
        found: list[float] = []
        for start in range(0, len(replies), _MOST):
            found += self._read(replies[start : start + _MOST])
        return found

    def _read(self, replies: Sequence[tuple[int, str, str, str]]) -> list[float]:
        """Read no more replies than a batch holds, one pass over all."""
        model, images = self._model, self._batch.images
        count = model.processor.tokenizer
        begun = []
        for _, prompt, beginning, word in replies:
            rendered = model.render(prompt)
            begun.append(rendered + lead(count, rendered, beginning + word) + beginning)
        whole = [text + reply[3] for text, reply in zip(begun, replies, strict=True)]
        new = [
            len(count(w).input_ids) - len(count(b).input_ids)
            for w, b in zip(whole, begun, strict=True)
        ]
        inputs = model.encode(whole, [images[row] for row, *_ in replies])
        with torch.inference_mode():
            output = model.model(**inputs, use_cache=False, logits_to_keep=max(new) + 1)
        log_p = output.logits.float().log_softmax(-1)
        for row, *_ in replies:
            self.passes[row] += 1
        ids = inputs["input_ids"]
        said = [ids[i, ids.shape[1] - n :, None] for i, n in enumerate(new)]  # n may be 0
        return [
            float(log_p[i, -n - 1 : -1].gather(1, one).sum())
            for i, (n, one) in enumerate(zip(new, said, strict=True))
        ]


def lead(tokenizer: Any, prompt: str, reply: str) -> str:
    """Return what stands between a prompt and a reply so that it is read as it is written.

    LLaMA's tokenizer puts a space in front of a reply's first word, which decoding takes away:
    "ASSISTANT:The" is read as other tokens than the model writes.
    """
    alone = tokenizer(reply, add_special_tokens=False).input_ids
    for space in ("", " "):
        if tokenizer(prompt + space + reply).input_ids[-len(alone) :] == alone:
            return space
    return ""


def revised(method: Method, batch: Batch, texts: list[str], ask: AskingAgain) -> Rewritten:
    """Let a method rewrite the answers to a batch, with questions of its own to the model.

    Args:
        texts: The answers as they are.
    """
    after = method.revise(batch, list(texts), ask)
    pairs = enumerate(zip(texts, after, strict=True))
    return Rewritten(after, {row: (old,) for row, (old, new) in pairs if old != new})
