"""Ask a model with several methods, and keep what it says in run folders as an evaluation does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.console import Console

from halluc.config import BASELINE, DecodingConfig, MethodConfig, RunConfig
from halluc.errors import UserError
from halluc.scoring.base import Benchmark
from halluc.scoring.card import BenchmarkCard

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from halluc.lab.base import Setting
    from halluc.scoring.base import Totals
    from halluc.types import Answer, Reading, Sample


@dataclass(frozen=True)
class Arm:
    """An arm of an experiment: one way in which the model answers.

    Attributes:
        label: Its name in tables.
        method: The method.
        decoding: How tokens are chosen.
        params: Parameters of the method.
    """

    label: str
    method: str = BASELINE
    decoding: DecodingConfig = field(default_factory=DecodingConfig)
    params: Mapping[str, Any] | None = None


def answers(
    setting: Setting, about: str, samples: Sequence[Sample], arms: Sequence[Arm] | None = None
) -> dict[str, list[Answer]]:
    """Answer samples by the baseline and the setting's methods; known answers are not asked again.

    Args:
        about: The experiment's name, under which answers are kept.
        samples: All questions about an image together, so that they share its reading.
        arms: Who answers, in place of the baseline and the setting's methods, both greedy.

    Returns:
        By label, the baseline first, an answer to each sample in their order.

    Raises:
        UserError: If a method does not fit the model, or a sample cannot be answered.
    """
    from halluc.evaluation.asking import answering_here, ask
    from halluc.evaluation.preparing import prepare
    from halluc.store.scored_run import sample_set
    from halluc.store.scores_file import AskedSample

    arms = arms or [Arm(name, name) for name in (BASELINE, *setting.methods)]
    benchmark = _Questions(f"lab_{about}", samples)
    described = sample_set(benchmark, None, {}).keyed([AskedSample.of(s) for s in samples])
    runs = {}
    for arm in arms:
        config = RunConfig(
            model=setting.config,
            method=MethodConfig(name=arm.method, params=dict(arm.params or {})),
            decoding=arm.decoding,
        )
        runs[arm.label] = prepare(setting.model, config, None, setting.output_dir)
    folders = {run.folder.path.name: run for run in runs.values()}
    asked = ask(
        folders,
        benchmark,
        described,
        samples,
        samples,
        answering_here(setting.model, None, True, None),
        Console(stderr=True),
    )
    found: dict[str, list[Answer]] = {}
    for label, run in runs.items():
        found[label] = asked.answers[run.folder.path.name]
        for answer in found[label]:
            if answer.status == "failed":
                raise UserError(
                    f"lab {about}: {label} could not answer {answer.id}: {answer.error}"
                )
    return found


class _Questions(Benchmark):
    """The samples of an experiment, as what is kept in run folders needs them."""

    card = BenchmarkCard(
        title="laboratory", paper="", licence="Apache-2.0", task="open", metrics=()
    )

    def __init__(self, name: str, samples: Sequence[Sample]) -> None:
        super().__init__()
        self.name = name
        self._samples = samples

    def samples(self, limit: int | None = None) -> Iterator[Sample]:
        yield from self._samples

    def predict(self, answer: Answer) -> str:
        return answer.text

    def tally(self, readings: Sequence[Reading]) -> dict[str, float]:
        return {"n": len(readings)}

    def metrics(self, totals: Totals) -> dict[str, NDArray[np.float64]]:
        return {}
