"""What systems say: descriptions of targets, passages of evidence, answers to implicit questions.

All are answers in run folders, so that a second cross-check asks nobody again. Descriptions lie
where evaluations keep theirs; passages and answers to questions in `crosscheck/` below.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from halluc.calibration import Calibration, find_calibration, read
from halluc.config import BASELINE, RunConfig
from halluc.crosscheck.systems import System, by_model
from halluc.evaluation import Model, evaluate_together, open_model
from halluc.evaluation.asking import answering_here, ask
from halluc.evaluation.preparing import prepare
from halluc.interruption import GO_ON, Interrupted, Stop
from halluc.scoring.base import Benchmark
from halluc.scoring.card import BenchmarkCard, Metric
from halluc.scoring.confusion_rates import ratio
from halluc.store.scored_run import sample_set
from halluc.store.scores_file import AskedSample

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from halluc.crosscheck.crosscheck_config import CrossCheckConfig
    from halluc.scoring.base import Totals
    from halluc.store import Scored
    from halluc.types import Answer, Reading, Sample

FOLDER = "crosscheck"


@dataclass(frozen=True)
class Place:
    """Where answers are kept, where progress is shown, and what ends asking after a batch."""

    output_dir: Path = Path("runs")
    console: Console = field(default_factory=lambda: Console(stderr=True))
    stop: Stop | None = None


@dataclass(frozen=True)
class SaidBySystems:
    """What systems said of the benchmark's images.

    Attributes:
        descriptions: Of targets, scored.
        passages: Of evidence systems, one scored run a passage.
    """

    descriptions: dict[System, Scored]
    passages: dict[System, list[Scored]]


def described(config: CrossCheckConfig, place: Place) -> SaidBySystems:
    """Let targets describe images, and evidence systems sample passages about them.

    Raises:
        UserError, Interrupted: As `evaluate_together`.
    """
    said, seeds = SaidBySystems({}, {}), range(config.samples_per_model)
    for group in by_model((*config.targets, *config.evidence)).values():
        targets = [one for one in group if one in config.targets]
        evidence = [one for one in group if one in config.evidence]
        model = open_model([config.run(one) for one in group])
        runs = _scored(config, [config.run(one) for one in targets], model, place, "")
        said.descriptions.update(zip(targets, runs, strict=True))
        sampled = [config.run(one, seed) for one in evidence for seed in seeds]
        runs = _scored(config, sampled, model, place, FOLDER)
        for number, one in enumerate(evidence):
            said.passages[one] = runs[number * len(seeds) : (number + 1) * len(seeds)]
    return said


def asked_implicitly(
    config: CrossCheckConfig, questions: Sequence[Sample], place: Place
) -> dict[System, dict[str, str]]:
    """Put questions to the evidence systems.

    Args:
        questions: Those about an image next to each other.

    Returns:
        By system, sample id to text; what could not be answered is missing.

    Raises:
        UserError: If an answer cannot be kept.
        Interrupted: If told to stop.
    """
    benchmark = ImplicitQuestions(questions, config.build())
    described = [AskedSample.of(sample) for sample in questions]
    asked = sample_set(benchmark, config.limit, {}).keyed(described)
    texts: dict[System, dict[str, str]] = {}
    for group in by_model(config.evidence).values() if questions else ():
        configs = [config.run(one) for one in group]
        model = open_model(configs)
        known = _calibrations(configs, model, place)
        folder = place.output_dir / FOLDER
        prepared = [prepare(model, one, known.get(one.method.name), folder) for one in configs]
        try:
            replies = ask(
                {run.folder.path.name: run for run in prepared},
                benchmark,
                asked,
                questions,
                questions,
                answering_here(model, None, True, None),
                place.console,
                stop=place.stop,
            )
        except Interrupted as stopped:
            raise Interrupted(stopped.signum, GO_ON) from None
        for one, run in zip(group, prepared, strict=True):
            answers = replies.answers[run.folder.path.name]
            texts[one] = {answer.id: answer.text for answer in answers if answer.status == "ok"}
    return texts


class ImplicitQuestions(Benchmark):
    """Questions about what targets said; its name is that of the files that keep the answers.

    Args:
        questions: The questions.
        about: The benchmark whose images they are about.
    """

    name = "crosscheck"
    card = BenchmarkCard(
        title="Implicit questions of CrossCheckGPT",
        paper="https://arxiv.org/abs/2405.13684",
        licence="Apache-2.0",
        task="open",
        metrics=(Metric("no", higher_is_better=None, scale=100),),
    )

    def __init__(self, questions: Sequence[Sample], about: Benchmark) -> None:
        super().__init__()
        self._questions, self._revision = questions, about.revision

    @property
    def revision(self) -> str:
        """The identity of the images' data."""
        return self._revision

    def samples(self, limit: int | None = None) -> Iterator[Sample]:
        """Yield all questions."""
        yield from self._questions

    def predict(self, answer: Answer) -> str:
        """Return the answer's first word."""
        return answer.text.lower().partition(" ")[0].strip(".,!")

    def tally(self, readings: Sequence[Reading]) -> dict[str, float]:
        """Count answers that start with no."""
        return {"n": len(readings), "no": sum(one.prediction == "no" for one in readings)}

    def metrics(self, totals: Totals) -> dict[str, NDArray[np.float64]]:
        """Return their share."""
        return {"no": ratio(totals["no"], totals["n"])}


def _scored(
    config: CrossCheckConfig, runs: list[RunConfig], model: Model, place: Place, below: str
) -> list[Scored]:
    if not runs:
        return []
    done = evaluate_together(
        runs,
        place.output_dir / below,
        model=model,
        calibrations=_calibrations(runs, model, place),
        console=place.console,
        stop=place.stop,
    )
    return [one.scored[config.benchmark] for one in done]


def _calibrations(runs: Sequence[RunConfig], model: Model, place: Place) -> dict[str, Calibration]:
    """Read what was measured for the runs' methods, as `halluc eval` does."""
    found = {}
    for name in {run.method.name for run in runs} - {BASELINE}:
        if file := find_calibration(place.output_dir, model.fingerprint, name):
            found[name] = read(file)
    return found
