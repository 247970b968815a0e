"""A sample is one question about one image, or a request to caption it; an answer is a reply."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Sample:
    """One prompt about one image.

    Attributes:
        id: Unique within its benchmark.
        image_id: The image asked about; intervals are clustered by it, and samples that share it
            share its encoding.
        prompt: The user's turn as text, before the chat template.
        load_image: Opens the image (RGB) when it is needed; nothing is held before that.
        target: What the scorer compares with; anything JSON can hold.
        group: The split or subtask the sample belongs to ("adversarial", "count").
        max_new_tokens: Where the answer is cut.
        follows: Id of the sample asked just before in the same conversation, None for the first:
            its history, its prompt and the model's answer to it come before this prompt.
        history: The earlier turns, (prompt, answer) each; filled in when they are answered.
    """

    id: str
    image_id: str
    prompt: str
    load_image: Callable[[], Image] = field(repr=False, compare=False)
    target: Any = None
    group: str = "all"
    max_new_tokens: int = 16
    follows: str | None = None
    history: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Answer:
    """What the model said about a sample: one line of a run's samples file.

    Attributes:
        id, image_id, group, prompt, target, history: As in the sample.
        text: The raw answer, special tokens removed.
        status: "failed" if no answer could be had; then `error` says why and `text` is empty.
        prediction: What the benchmark's parser made of `text`.
        yes_no: Log-probabilities of "yes" and of "no" (all spellings summed) at the first
            generated position, where the tokenizer has one-token spellings of both.
        image_hash: Hash of the image's pixels.
        prompt_tokens, tokens: Tokens read (image tokens included) and generated.
        forward_passes: Passes through the language model in which this sample took part.
        images_encoded: Its share of the images its batch had to encode.
        drafts: What the text was before a method revised it, in order; none where it did not.
        same_as: The sample that asked the same and was answered in its place.
        seconds: Its share of its batch's wall-clock time.
    """

    id: str
    image_id: str
    group: str
    prompt: str
    target: Any
    text: str = ""
    history: tuple[tuple[str, str], ...] = ()
    status: Literal["ok", "failed"] = "ok"
    error: str | None = None
    prediction: Any = None
    yes_no: tuple[float, float] | None = None
    image_hash: str = ""
    prompt_tokens: int = 0
    tokens: int = 0
    forward_passes: int = 0
    images_encoded: float = 0.0
    drafts: tuple[str, ...] = ()
    same_as: str | None = None
    seconds: float = 0.0

    @classmethod
    def of(cls, sample: Sample, **found: Any) -> Answer:
        """An answer to a sample."""
        return cls(
            id=sample.id,
            image_id=sample.image_id,
            group=sample.group,
            prompt=sample.prompt,
            target=sample.target,
            history=sample.history,
            **found,
        )

    @classmethod
    def failed(cls, sample: Sample, error: Exception | str) -> Answer:
        """The answer to a sample that has none."""
        if isinstance(error, str):
            return cls.of(sample, status="failed", error=error)
        first = (str(error).strip().splitlines() or [""])[0]
        return cls.of(sample, status="failed", error=f"{type(error).__name__}: {first}")
