"""A log of another harness: who answered what, and the answers in a benchmark's own format."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from halluc.errors import UserError
from halluc.scoring.answer_files import AnswerFiles
from halluc.scoring.bootstrap import DRAWS
from halluc.scoring.building import build, options_taken
from halluc.scoring.rescoring import score_read

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from halluc.data.records import Row
    from halluc.scoring.base import Benchmark
    from halluc.types import Answer

UNKNOWN = "not stated"
PREFIXES = (
    ("pope", "pope_coco"),
    ("coco_cap_chair", "chair_coco"),
    ("chair", "chair_coco"),
    ("mme", "mme"),
    ("hallusion", "hallusionbench"),
    ("amber_g", "amber_generative"),
    ("amber", "amber"),
    ("mmvp", "mmvp"),
)
"""What names of tasks start with, and the benchmark they are of; the longer ones first."""


@dataclass(frozen=True)
class Log:
    """What a harness logged of one task.

    Attributes:
        tool, version: The harness, and its version as the log states it.
        benchmark: The benchmark, by its name here.
        records: Its answers, each as `Benchmark.read_answers` takes it, with its line in the log.
        model: The model, as the log names it.
        decoding: How tokens were chosen, as the log states it; None where it does not.
        notes: What a reader of the scores has to know.
        failures: What a text starts with where the harness had no answer; "" for none.
    """

    tool: str
    version: str
    benchmark: str
    records: Sequence[Row]
    model: str
    decoding: Mapping[str, Any] | None = None
    notes: Sequence[str] = ()
    failures: str = ""


@dataclass(frozen=True)
class Imported:
    """Answers of another harness, read.

    Attributes:
        benchmark: The benchmark, which has read the answers.
        answers: With what each is compared with.
        model, decoding, tool, version: As in the log.
        method: The method, where somebody states it; harnesses know none.
    """

    benchmark: Benchmark
    answers: list[Answer]
    model: str
    decoding: Mapping[str, Any] | None
    tool: str
    version: str
    method: str | None = None

    def score(self, draws: int = DRAWS) -> dict[str, Any]:
        """Score the answers as `halluc score` scores a file."""
        return score_read(self.benchmark, self.answers, draws)


def read_log(
    log: Log,
    file: Path,
    options: Mapping[str, Any] | None = None,
    labels: Sequence[Path] = (),
    ground_truth: Path | None = None,
) -> Imported:
    """Read a log's answers by the benchmark they are of.

    Args:
        file: The log.
        options: Options of `build`, those of other benchmarks left out.
        labels, ground_truth: What the log lacks, as for `halluc score`.

    Raises:
        UserError: If anything about the answers is wrong; names the line of the log.
    """
    benchmark = build(log.benchmark, options_taken(log.benchmark, options or {}))
    answers = benchmark.read_answers(AnswerFiles.of(file, labels, ground_truth, log.records))
    benchmark.notes += log.notes
    if log.failures:
        answers = [_failed(answer, log) for answer in answers]
    if failed := sum(answer.status == "failed" for answer in answers):
        benchmark.notes.append(f"{failed} of {len(answers)} answers failed, and are left out")
    return Imported(benchmark, answers, log.model, log.decoding, log.tool, log.version)


def _failed(answer: Answer, log: Log) -> Answer:
    """Return an answer as failed where the harness writes in its place that it had none."""
    text = answer.text.strip()
    if not text.startswith(log.failures):
        return answer
    return replace(answer, text="", status="failed", error=f"{log.tool}: {text.splitlines()[0]}")


def benchmark_of(task: str, file: Path) -> str:
    """Return the benchmark that a task is of.

    Raises:
        UserError: If it is of none that is read here.
    """
    for prefix, name in PREFIXES:
        if task.lower().startswith(prefix):
            return name
    known = "POPE, CHAIR, MME, HallusionBench, AMBER and MMVP"
    raise UserError(f"{file}: is of {task!r}; {known} are read")
