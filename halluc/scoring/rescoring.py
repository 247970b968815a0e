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
from halluc.scoring.pope.answer_files import strategy_of
from halluc.scoring.pope.relabelling import NAME, label_files
from halluc.scoring.scores import missing, read, score_readings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from halluc.scoring.base import Benchmark


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
        labels: At most one path, or "repope" for the published labels of the file's split.

    Raises:
        UserError: If anything about the files is wrong; the error names the line.
    """
    if len(labels) > 1:
        raise UserError("--answers goes with one file of --labels")
    path = Path(labels[0]) if labels else None
    if path == Path(NAME):
        split = strategy_of(answers.name)
        if split is None:
            raise UserError(f"--labels {NAME}: {answers.name} says no split (random, popular, ...)")
        path = label_files(labels)[split]
    return score_files(build(name, options), AnswerFiles(answers, path, ground_truth))


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
    answers = benchmark.read_answers(files)
    readings = read(benchmark, answers)
    scores = score_readings(benchmark, readings, missing(answers), draws, seed)
    details = [detail for answer in answers if (detail := benchmark.detail(answer))]
    result: dict[str, Any] = finite(
        {
            "benchmark": benchmark.name,
            "protocol": benchmark.protocol,
            "metrics": benchmark.as_printed(Counter(scores.totals)),
            "scores": {n: asdict(i) for n, i in scores.values.items() if math.isfinite(i.value)},
            "n": scores.n,
            "n_images": scores.n_images,
            "unparseable": scores.unparseable,
            "notes": benchmark.notes,
            **({"sentences": details} if details else {}),
        }
    )
    return result
