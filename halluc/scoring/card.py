"""A benchmark's metadata: its source, task and metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """One reported number.

    Attributes:
        name: Its key in scores; "split/metric" where a benchmark has splits.
        higher_is_better: None where neither direction is better (yes ratio, length).
        headline: Shown in the table on the terminal.
        scale: The factor by which its authors multiply it.

    Examples:
        >>> from halluc import Metric
        >>> Metric("adversarial/accuracy", headline=True, scale=100).higher_is_better
        True
    """

    name: str
    higher_is_better: bool | None = True
    headline: bool = False
    scale: float = 1.0


@dataclass(frozen=True)
class BenchmarkCard:
    """A benchmark's metadata.

    A card is superseded, never edited: scores of one version can be compared.

    Attributes:
        version: Raised whenever the scores of the same answers, or the questions, may change.
        dataset, revision: Hub id and pinned commit; "halluc.world" for drawn benchmarks.
        split: The part of the data set.
        size: The numbers of images and questions, where they are known in advance.
        task: The kind of prompt; for yes/no questions and for the letters of options ("choice")
            decoding records log-probabilities.
        metrics: The reported metrics, in the order of the table.

    Examples:
        >>> from halluc import BenchmarkCard, Metric
        >>> BenchmarkCard("Dogs", "-", "Apache-2.0", "yes_no", (Metric("accuracy"),)).version
        1
    """

    title: str
    paper: str
    licence: str
    task: Literal["yes_no", "choice", "caption", "open"]
    metrics: tuple[Metric, ...]
    citation: str = ""
    dataset: str = "halluc.world"
    revision: str = ""
    split: str = "test"
    size: tuple[int, int] | None = None
    version: int = 1
