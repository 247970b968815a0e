"""Verdicts on a target's descriptions, summed by image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from halluc.benchmarks._chair import ChairBenchmark
from halluc.crosscheck.crosscheck_config import CrossCheckConfig
from halluc.scoring.crosscheck.implicit_questions import OBJECTS, questions, read_error
from halluc.scoring.crosscheck.sentence_verdicts import (
    SUPPORT_TOKENS,
    UNKNOWN,
    Sentence,
    sentences,
    supported_by_judge,
    supported_by_objects,
)
from halluc.scoring.crosscheck.verdict_scores import explicit, tally, views
from halluc.scoring.judges.judge_models import judge, judgements_kept

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from halluc.crosscheck.systems import System
    from halluc.scoring.base import Benchmark
    from halluc.scoring.crosscheck.sentence_verdicts import Supports
    from halluc.types import Sample

    Array = NDArray[np.float64]


@dataclass(frozen=True)
class TargetDescription:
    """A target's description of an image.

    Attributes:
        sample: What was asked.
        explicit, implicit: Its sentences that are compared with passages, and those that are asked
            about: all, or where objects are compared those that name any.
    """

    sample: Sample
    explicit: list[Sentence]
    implicit: list[Sentence]

    def questions(self, wording: str) -> list[list[Sample]]:
        """List what is asked about each of the sentences that are asked about."""
        return [questions(sentence, self.sample, wording) for sentence in self.implicit]


def descriptions(
    config: CrossCheckConfig,
    benchmark: Benchmark,
    samples: Sequence[Sample],
    texts: Mapping[str, str],
) -> list[TargetDescription]:
    """Split what a target said into sentences; samples it did not answer are left out.

    Args:
        texts: Sample id to description.
    """
    finder = benchmark.finder if isinstance(benchmark, ChairBenchmark) else None
    found, wording = [], config.wording
    for sample in samples:
        if sample.id in texts:
            every = sentences(texts[sample.id], finder)
            naming = [sentence for sentence in every if sentence.objects]
            by_judge = naming if config.judge == OBJECTS else every
            asked = naming if wording == OBJECTS else every
            found.append(TargetDescription(sample, by_judge, asked))
    return found


def counts(
    config: CrossCheckConfig,
    target: System,
    said: Sequence[TargetDescription],
    passages: Mapping[System, Sequence[Mapping[str, str]]],
    replies: Mapping[System, Mapping[str, str]],
    supports: Supports,
) -> dict[str, dict[str, float]]:
    """Sum a target's scores over the sentences of each image.

    Args:
        passages: An evidence system's passages, each as sample id to text.
        replies: An evidence system's answers to implicit questions: id to text.

    Returns:
        An image to its sums, see `halluc.scoring.crosscheck.verdict_scores.tally`.
    """
    counted = views(
        [one == target for one in config.evidence],
        [one.model == target.model for one in config.evidence],
        config.variant,
    )
    wording, sums = config.wording, dict[str, dict[str, float]]()
    for one in said:
        image = sums.setdefault(one.sample.image_id, {})
        verdicts = compared(config, one, passages, supports)
        scores = {
            "explicit": explicit(verdicts, config.variant),
            "implicit": answered(config, one.questions(wording), replies, wording),
        }
        for kind, values in scores.items():
            for name, value in tally(kind, values, counted).items():
                image[name] = image.get(name, 0.0) + value
    return sums


def compared(
    config: CrossCheckConfig,
    said: TargetDescription,
    passages: Mapping[System, Sequence[Mapping[str, str]]],
    supports: Supports,
) -> Array:
    """Compare sentences with passages: verdicts [sentences, evidence, passages]."""
    import numpy as np

    texts = [[one.get(said.sample.id) for one in passages[m]] for m in config.evidence]
    shape = len(said.explicit), len(config.evidence), config.samples_per_model
    verdicts = [
        [[UNKNOWN if text is None else supports(sentence, text) for text in own] for own in texts]
        for sentence in said.explicit
    ]
    return np.array(verdicts, dtype=float).reshape(shape)


def answered(
    config: CrossCheckConfig,
    asked: Sequence[list[Sample]],
    replies: Mapping[System, Mapping[str, str]],
    wording: str,
) -> Array:
    """Read what evidence systems answered about sentences: [sentences, evidence]."""
    import numpy as np

    scores = [
        [read_error(replies[system], one, wording) for system in config.evidence] for one in asked
    ]
    return np.array(scores, dtype=float).reshape(len(asked), len(config.evidence))


class SupportRule:
    """The rule by which passages support sentences; it keeps what a judge says next to the run.

    Args:
        name: "objects", or the judge's name.
        benchmark: The benchmark, for its word list.

    Raises:
        UserError: If the judge's name is wrong.
    """

    def __init__(self, name: str, benchmark: Benchmark) -> None:
        self.judge: Any = None if name == OBJECTS else judge(name, SUPPORT_TOKENS)
        self._rule: Supports | None = None
        if self.judge is None:
            assert isinstance(benchmark, ChairBenchmark)  # the configuration has checked it
            self._rule = supported_by_objects(benchmark.finder)

    @contextmanager
    def of(self, folder: Path) -> Iterator[Supports]:
        """Give the rule for a target, whose folder receives the judge's replies."""
        with judgements_kept(self, folder):
            yield self._rule or supported_by_judge(self.judge)
