"""Scores from files of answers in the formats of benchmarks' authors."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.data.records import finite
from halluc.errors import UserError
from halluc.scoring.answer_files import AnswerFiles
from halluc.scoring.bootstrap import DRAWS
from halluc.scoring.building import build
from halluc.scoring.pope.label_sources import strategy_of
from halluc.scoring.pope.relabelling import NAME, label_files
from halluc.scoring.scores import missing, read, score_readings
from halluc.scoring.thinking import note

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from halluc.scoring.base import Benchmark
    from halluc.types import Answer


def score_answers_file(
    name: str,
    options: Mapping[str, Any],
    answers: Path,
    labels: Sequence[str] = (),
    ground_truth: Path | None = None,
) -> dict[str, Any]:
    """Score a file of answers in a benchmark's own format, as a user names the files.

    Args:
        name: The benchmark's.
        options: Options of `build`.
        labels: Paths; or "repope" for the published labels of the splits that are answered.

    Raises:
        UserError: If anything about the files is wrong; the error names the line.
    """
    if not answers.exists():
        raise UserError(f"{answers}: no such file")
    paths = [Path(label) for label in labels]
    if NAME in labels:
        by_split = label_files(labels)
        split = strategy_of(answers.name)
        paths = [*by_split.values()] if split is None else [by_split[split]]
    return score_files(build(name, options), AnswerFiles.of(answers, paths, ground_truth))


def score_files(
    benchmark: Benchmark, files: AnswerFiles, draws: int = DRAWS, seed: int = 0
) -> dict[str, Any]:
    """Score an answers file in its authors' format; needs no model and no network.

    Returns:
        What JSON can hold: "metrics" under the authors' names, "scores" under ours with 95%
        intervals, how many answers were scored, and how many of them could not be parsed.

    Raises:
        UserError: If anything about the files is wrong; then there is no score.
    """
    return score_read(benchmark, benchmark.read_answers(files), draws, seed)


def score_read(
    benchmark: Benchmark, answers: Sequence[Answer], draws: int = DRAWS, seed: int = 0
) -> dict[str, Any]:
    """Score answers that a benchmark has read; see `score_files`."""
    readings = read(benchmark, answers)
    scores = score_readings(benchmark, readings, missing(answers), draws, seed)
    details = [detail for reading in readings if (detail := benchmark.detail(reading.answer))]
    result: dict[str, Any] = finite(
        {
            "benchmark": benchmark.name,
            "protocol": benchmark.protocol,
            "metrics": benchmark.as_printed(Counter(scores.totals)),
            "scores": {n: asdict(i) for n, i in scores.values.items() if math.isfinite(i.value)},
            "n": scores.n,
            "n_images": scores.n_images,
            "unparseable": scores.unparseable,
            "notes": [*benchmark.notes, *note(answers)],
            **({"sentences": details} if details else {}),
        }
    )
    return result
