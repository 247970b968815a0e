"""A sample is one question about one image, or a request to caption it; an answer is a reply.

What a scorer reads in an answer is a reading.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from halluc.config import content_hash

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
        options: Of multiple choice: each option's letter as the prompt has it, and its text.
        follows: Id of the sample asked just before in the same conversation, None for the first:
            its history, its prompt and the model's answer to it come before this prompt.
        history: The earlier turns, (prompt, answer) each; filled in when they are answered.

    Examples:
        >>> from halluc import Sample
        >>> from PIL import Image
        >>> sample = Sample("1", "1.jpg", "Is there a dog?", lambda: Image.new("RGB", (8, 8)), "no")
        >>> sample.load_image().size, sample.target
        ((8, 8), 'no')
    """

    id: str
    image_id: str
    prompt: str
    load_image: Callable[[], Image] = field(repr=False, compare=False)
    target: Any = None
    group: str = "all"
    max_new_tokens: int = 16
    options: tuple[tuple[str, str], ...] = ()
    follows: str | None = None
    history: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Answer:
    """What the model said about a sample: one line of a run's answers file.

    Attributes:
        id, image_id, group, prompt, target, history, max_new_tokens: As in the sample.
        text: The raw answer, special tokens removed.
        status: "failed" if no answer could be had; then `error` says why and `text` is empty.
            "withheld" if the method does not trust it; `text` is what would have been said.
        confidence: How far a method that may withhold answers trusts this one, 0 to 1.
        yes_no: Log-probabilities of "yes" and of "no" (all spellings summed) at the first
            generated position, where the tokenizer has one-token spellings of both.
        letters: Log-probabilities of the letters of the sample's options at that position, where
            the tokenizer has one-token spellings of all.
        image_hash: Hash of the image's pixels.
        prompt_tokens, tokens: Tokens read (image tokens included) and generated.
        forward_passes: Passes through the language model in which this sample took part.
        images_encoded: Its share of the images its batch had to encode.
        drafts: What the text was before a method revised it, in order; none where it did not.
        same_as: The sample that asked the same and was answered in its place.
        seconds: Its share of its batch's wall-clock time.
        peak_memory: Highest memory in bytes while its batch was answered, above the level before;
            0 where it was not measured.

    Examples:
        >>> from halluc import Answer, Sample
        >>> from PIL import Image
        >>> sample = Sample("1", "1.jpg", "Is there a dog?", lambda: Image.new("RGB", (8, 8)), "no")
        >>> Answer.of(sample, text="Yes.").target
        'no'
    """

    id: str
    image_id: str
    group: str
    prompt: str
    target: Any
    text: str = ""
    history: tuple[tuple[str, str], ...] = ()
    status: Literal["ok", "failed", "withheld"] = "ok"
    error: str | None = None
    confidence: float | None = None
    yes_no: tuple[float | None, float | None] | None = None
    letters: dict[str, float | None] | None = None
    image_hash: str = ""
    prompt_tokens: int = 0
    tokens: int = 0
    forward_passes: int = 0
    images_encoded: float = 0.0
    drafts: tuple[str, ...] = ()
    same_as: str | None = None
    seconds: float = 0.0
    max_new_tokens: int = 0
    peak_memory: int = 0

    @property
    def key(self) -> str:
        """Ten hex digits of what the answer is to: sample, prompt as sent, image, token limit."""
        return content_hash(
            [self.id, self.prompt, self.history, self.image_hash, self.max_new_tokens]
        )

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
            max_new_tokens=sample.max_new_tokens,
            **found,
        )

    @classmethod
    def failed(cls, sample: Sample, error: Exception | str) -> Answer:
        """The answer to a sample that has none."""
        if isinstance(error, str):
            return cls.of(sample, status="failed", error=error)
        first = (str(error).strip().splitlines() or [""])[0]
        return cls.of(sample, status="failed", error=f"{type(error).__name__}: {first}")


@dataclass(frozen=True)
class Reading:
    """What a scorer read in an answer.

    Attributes:
        answer: The answer; its `target` and `group` are the benchmark's at the time of scoring.
        prediction: What the parser made of its text, as JSON can hold it; None where it could not
            be parsed.

    Examples:
        >>> from halluc import Answer, Reading
        >>> reading = Reading(Answer("1", "1.jpg", "all", "A dog?", "no", text="Yes."), "yes")
        >>> reading.prediction == reading.target
        False
    """

    answer: Answer
    prediction: Any = None

    @property
    def id(self) -> str:
        """The sample's id."""
        return self.answer.id

    @property
    def image_id(self) -> str:
        """The image asked about."""
        return self.answer.image_id

    @property
    def group(self) -> str:
        """The split or subtask of the sample."""
        return self.answer.group

    @property
    def target(self) -> Any:
        """What the scorer compares with."""
        return self.answer.target

    @property
    def text(self) -> str:
        """The raw answer."""
        return self.answer.text
