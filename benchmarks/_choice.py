"""The base of benchmarks of multiple choice, asked in one order of the options or in all."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from halluc.errors import UserError
from halluc.scoring.base import Benchmark
from halluc.scoring.card import Metric
from halluc.scoring.choice import likeliest, listed, read_option, turned
from halluc.scoring.confusion_rates import ratio
from halluc.types import Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from halluc.data.records import Row
    from halluc.scoring.base import Totals
    from halluc.types import Answer, Reading

ROTATED = "/rotated "
METRICS = ("accuracy", "accuracy_by_logits", "circular_accuracy")


def choice_metrics(groups: Sequence[str]) -> tuple[Metric, ...]:
    """Describe the accuracies, then "group/accuracy" for every group."""
    whole = (Metric(name, headline=name != METRICS[2], scale=100) for name in METRICS)
    return (*whole, *(Metric(f"{group}/accuracy", scale=100) for group in groups))


def label_among(row: Row, letters: Iterable[str]) -> str:
    """Return the right option's letter, in capitals.

    Raises:
        UserError: If it is none of the letters.
    """
    label = row.text("label").strip().upper()
    if label not in (known := [*letters]):
        raise UserError(f"{row.where}: label {label!r} is not one of {', '.join(known)}")
    return label


class ChoiceBenchmark(Benchmark):
    """Questions that list their options, in groups; a target is {"answer": letter, "options": ...}.

    `rules` reads letters and words (`read_option`). Subclasses define `card`, `groups`, `letters`,
    `marker`, `samples`, and `official`, by which the authors read an answer.

    Args:
        protocol, prompt, folder: As for `Benchmark`.
        rotate_options: Ask each question once in every rotation of its options. It is right under
            `circular_accuracy` if it is right in all; other metrics are of the first order.

    Attributes:
        letters: The options' letters, where a question does not list them as expected.
        marker: What stands before an option, as `listed` takes it.
        fixed: How many of the last options are not rotated.
    """

    groups: ClassVar[tuple[str, ...]]
    letters: ClassVar[str]
    marker: ClassVar[str]
    fixed: ClassVar[int] = 0
    protocols = ("official", "rules")

    def __init__(
        self,
        protocol: str | None = None,
        prompt: str = "official",
        folder: Path | None = None,
        rotate_options: bool = False,
    ) -> None:
        super().__init__(protocol, prompt, folder)
        self.rotate_options = rotate_options

    def asked_in_turns(
        self,
        id: str,
        image_id: str,
        question: str,
        answer: str,
        load_image: Callable[[], Image],
        group: str,
        max_new_tokens: int,
        where: str,
    ) -> Iterator[Sample]:
        """Yield a question's sample, and those of its rotations if they are asked.

        Args:
            question: With its options; the wording's ending is appended.
            answer: The right option's letter.
            where: The line of the question, for errors.

        Raises:
            UserError: If the answer is not an option, or options to rotate are not listed.
        """
        options = listed(question, self.marker, self.letters)
        if answer not in (letters := "".join(options.options) or self.letters):
            raise UserError(f"{where}: answer {answer!r} is not one of {', '.join(letters)}")
        if self.rotate_options and not options.places:
            raise UserError(f"{where}: lists no options; ask it without rotate_options")
        turning = letters[: len(letters) - self.fixed]
        for by in range(len(turning) if self.rotate_options else 1):
            turn = options.rotated(by, self.fixed)
            texts = turn.options or dict.fromkeys(letters, "")
            yield Sample(
                id=f"{id}{ROTATED}{by}" if by else id,
                image_id=image_id,
                prompt=turn.text + self.prompts[self.prompt],
                load_image=load_image,
                target={"answer": turned(answer, turning, by), "options": texts},
                group=group,
                max_new_tokens=max_new_tokens,
                options=tuple(texts.items()),
            )

    def official(self, text: str) -> str | None:
        """Return the letter that the authors' scorer reads; None if none."""
        raise NotImplementedError

    def predict(self, answer: Answer) -> str | None:
        """Return the letter of the option, as the protocol reads it; None if none or several."""
        if self.protocol == "rules":
            return read_option(answer.text, answer.target["options"])
        return self.official(answer.text)

    def right(self, reading: Reading) -> bool:
        """Return whether the right option was read."""
        return bool(reading.prediction == reading.target["answer"])

    def tally(self, readings: Sequence[Reading]) -> dict[str, float]:
        """Count what is right by text and by logits in the first order, and in all orders."""
        totals: dict[str, float] = {}

        def add(name: str, count: float) -> None:
            totals[name] = totals.get(name, 0.0) + count

        questions: dict[str, list[Reading]] = {}
        for reading in readings:
            question, rotated, _ = reading.id.partition(ROTATED)
            questions.setdefault(question, []).append(reading)
            if rotated:
                continue
            add(f"{reading.group}/n", 1.0)
            add(f"{reading.group}/right", float(self.right(reading)))
            if (letter := likeliest(reading.answer.letters)) is not None:
                add("by_logits/n", 1.0)
                add("by_logits/right", float(letter == reading.target["answer"]))
        for turns in questions.values():
            if 1 < len(turns) == len(turns[0].target["options"]) - self.fixed:
                add("circular/n", 1.0)
                add("circular/right", float(all(map(self.right, turns))))
        return totals

    def metrics(self, totals: Totals) -> dict[str, NDArray[np.float64]]:
        """Return the accuracies of all questions, and by text of every group."""
        import numpy as np

        def accuracy(*groups: str) -> NDArray[np.float64]:
            right, n = (
                np.sum([totals[f"{group}/{name}"] for group in groups], axis=0)
                for name in ("right", "n")
            )
            return ratio(right, n)

        whole = (accuracy(*self.groups), accuracy("by_logits"), accuracy("circular"))
        parts = {f"{group}/accuracy": accuracy(group) for group in self.groups}
        return {**dict(zip(METRICS, whole, strict=True)), **parts}
