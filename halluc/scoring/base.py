"""The benchmark contract: metadata, samples, a parser, and counts that add up.

Every metric is a function of counts summed over images. This rule gives exact intervals for
accuracy, F1 and CHAIR alike: resampling images is a weighted sum of their counts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from halluc.config import content_hash
from halluc.data.pinned_files import recorded
from halluc.data.sample_selection import check_split, split_samples
from halluc.errors import UserError
from halluc.provenance import SCENES
from halluc.registry import Registry
from halluc.scoring.bootstrap import estimate

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from halluc.scoring.answer_files import AnswerFiles
    from halluc.scoring.card import BenchmarkCard
    from halluc.scoring.marks import Mark
    from halluc.types import Answer, Reading, Sample

    Totals = Mapping[str, NDArray[np.float64]]


FOLDER = "--benchmark-args folder=DIR"
"""The option that names a benchmark's folder."""


class Benchmarks(Registry["Benchmark"]):
    """Benchmarks by name; "yes_no-photos" is the one of one's own data, about a folder "photos"."""

    def get(self, name: str) -> type[Benchmark]:
        """Return the class registered under `name`, or under what stands before its first dash.

        Raises:
            UserError: If there is none; suggests what was probably meant.
        """
        kind, dash, _ = name.partition("-")
        if dash and name not in self.names() and kind in self.names() and super().get(kind).own:
            return super().get(kind)
        return super().get(name)


REGISTRY = Benchmarks("benchmark", "halluc.benchmarks")


class Benchmark(ABC):
    """A set of samples and the rule that scores their answers.

    Subclasses define `card` and the four abstract methods. A benchmark does not know models or
    methods.

    Args:
        protocol: The published scorer that reads the answers; None, and "official" where no
            protocol has that name, for the first of `protocols`.
        prompt: The name of the wording of questions.
        folder: The authors' files on this machine; None for data that is drawn or on the hub.

    Attributes:
        own: Whether it asks about a folder of the user's own; then `name` holds the folder's name.
        own_options: The names of further options, which decide what is asked about that folder.
        split: The part of the images that is asked about (`halves`); "" for all.
        notes: Remarks for the reader of the scores, filled while answers are read.

    Raises:
        UserError: If the benchmark has no such protocol or prompt.

    Examples:
        >>> from halluc import Answer, Benchmark, Reading
        >>> class Dogs(Benchmark):
        ...     def samples(self, limit=None):
        ...         yield from ()
        ...     def predict(self, answer):
        ...         return answer.text.lower().strip(".")
        ...     def tally(self, readings):
        ...         right = sum(one.prediction == one.target for one in readings)
        ...         return {"n": len(readings), "right": right}
        ...     def metrics(self, totals):
        ...         return {"accuracy": totals["right"] / totals["n"]}
        >>> dogs = Dogs()
        >>> answer = Answer("1", "1.jpg", "all", "Is there a dog?", "yes", text="Yes.")
        >>> dogs.metrics(dogs.tally([Reading(answer, dogs.predict(answer))]))
        {'accuracy': 1.0}
    """

    name: str
    own: ClassVar[bool] = False
    own_options: ClassVar[tuple[str, ...]] = ()
    card: ClassVar[BenchmarkCard]
    protocols: ClassVar[tuple[str, ...]] = ("official",)
    prompts: ClassVar[Mapping[str, str]] = {"official": ""}

    def __init__(
        self, protocol: str | None = None, prompt: str = "official", folder: Path | None = None
    ) -> None:
        if protocol == "official" and protocol not in self.protocols:
            protocol = None
        if protocol not in (None, *self.protocols):
            known = ", ".join(self.protocols)
            raise UserError(f"{self.name}: unknown protocol {protocol!r}, choose from {known}")
        if prompt not in self.prompts:
            known = ", ".join(self.prompts)
            raise UserError(f"{self.name}: unknown prompt {prompt!r}, choose from {known}")
        self.protocol = protocol or self.protocols[0]
        self.prompt = prompt
        self.folder = folder
        self.split = ""
        self.notes: list[str] = []

    @property
    def revision(self) -> str:
        """The data's identity: a commit, a hash of checksums, the version of drawn scenes or ""."""
        if self.card.dataset == "halluc.world":
            return SCENES
        facts = recorded(self.card.dataset if self.folder is None else self.name)
        return self.card.revision or facts.get("revision") or (content_hash(facts) if facts else "")

    @property
    def files_needed(self) -> str:
        """What the folder has to hold, in words; "" where the benchmark needs no folder."""
        return ""

    def folder_missing(self) -> UserError:
        """Return an error that says what the folder has to hold, and the option that names it."""
        return UserError(f"{self.name}: give a folder with {self.files_needed}: {FOLDER}")

    def given(self) -> Path:
        """Return the folder.

        Raises:
            UserError: If none was given.
        """
        if self.folder is None:
            raise self.folder_missing()
        return self.folder

    @abstractmethod
    def samples(self, limit: int | None = None) -> Iterator[Sample]:
        """Yield the samples of the first `limit` images, all questions of an image together."""

    @classmethod
    def halves(cls, share: float) -> tuple[dict[str, str], dict[str, str]]:
        """Return options for two disjoint sets of images: to tune on, and to report on.

        Args:
            share: The share of images to tune on, between 0 and 1.
        """
        return {"split": f"tune:{share:g}"}, {"split": f"test:{share:g}"}

    def take(self, split: str) -> None:
        """Restrict the samples to a part of the images.

        Raises:
            UserError: If the benchmark does not have such a part.
        """
        self.split = check_split(self.name, split)

    def asked(self, limit: int | None = None) -> Iterator[Sample]:
        """Return the samples of a run: those of the first `limit` images of `split`."""
        return (
            split_samples(self.samples(), self.split, limit) if self.split else self.samples(limit)
        )

    @abstractmethod
    def predict(self, answer: Answer) -> Any:
        """Parse an answer's text, into what JSON can hold; None where it cannot be parsed."""

    def right(self, reading: Reading) -> bool | None:
        """Return whether an answer is right; None where a single answer cannot be judged."""
        label = self.label(reading.answer)
        truth = reading.target if label is None else label
        return bool(reading.prediction == truth) if self.card.task == "yes_no" else None

    def caption(self, answer: Answer) -> str | None:
        """Return the description that is scored; None if the answer is not a description."""
        return answer.text if self.card.task == "caption" else None

    def cluster(self, answer: Answer) -> str:
        """Return the unit that is counted and resampled: the image, or a group of images."""
        return answer.image_id

    def label(self, answer: Answer) -> str | None:
        """Return the right answer of a yes/no question, "yes" or "no"; else None."""
        is_label = self.card.task == "yes_no" and answer.target in ("yes", "no")
        return answer.target if is_label else None

    @abstractmethod
    def tally(self, readings: Sequence[Reading]) -> dict[str, float]:
        """Count what was read in the answers about ONE image; the counts of images add up."""

    @abstractmethod
    def metrics(self, totals: Totals) -> dict[str, NDArray[np.float64]]:
        """Turn summed counts into the card's metrics, elementwise.

        Args:
            totals: A count's name to its sums [draws]: one draw for the estimate, many for a
                bootstrap. Zeros for a count that no image contributed to.

        Returns:
            A metric's name to its values [draws]; nan where it is undefined.
        """

    def read_answers(self, files: AnswerFiles) -> list[Answer]:
        """Read answers in the format that the benchmark's authors score.

        Raises:
            UserError: If a line is wrong, or the benchmark has no such format.
        """
        raise UserError(f"{self.name}: does not have an answers format of its own")

    def relabelled(
        self, answers: Sequence[Answer], labels: Mapping[str, Path]
    ) -> list[Answer] | None:
        """Return a run's answers with other labels; None if the benchmark takes no others.

        Args:
            labels: A split's name to its label file.

        Raises:
            UserError: If a file does not belong to the run.
        """
        return None

    def narrow(self, splits: Collection[str]) -> None:  # noqa: B027
        """Score only some of its splits, as `relabelled` does: those with other labels."""

    def marks(self, reading: Reading) -> list[Mark]:
        """Return the parts of an answer that name things, for people who read it."""
        return []

    def missed(self, reading: Reading) -> list[str]:
        """Return the things of the image that an answer should name and does not."""
        return []

    def detail(self, answer: Answer) -> dict[str, Any] | None:
        """Return an answer's part of the score, where the authors' scorer lists it."""
        return None

    def as_printed(self, totals: Mapping[str, float]) -> dict[str, Any]:
        """Return the metrics as the authors' scorer prints them, under its names.

        Args:
            totals: Summed counts, a Counter: 0 for a count that no image contributed to.
        """
        import numpy as np

        names = sorted(totals)
        counts = np.array([[totals[name] for name in names]])
        values = estimate(counts, names, self.metrics)
        scale = {metric.name: metric.scale for metric in self.card.metrics}
        return {name: value * scale.get(name, 1) for name, value in values.items()}


def benchmark(name: str) -> Callable[[type[Benchmark]], type[Benchmark]]:
    """Register the decorated `Benchmark` under `name`, as `--benchmarks` takes it.

    Examples:
        >>> import halluc
        >>> @halluc.benchmark("dogs")
        ... class Dogs(halluc.Benchmark):
        ...     '''Is there a dog? (docs/add-a-benchmark.md has all of it.)'''
        >>> Dogs.name
        'dogs'
    """

    def decorate(cls: type[Benchmark]) -> type[Benchmark]:
        cls.name = name
        return REGISTRY.register(name)(cls)

    return decorate
