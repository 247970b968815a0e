"""Answers in the file format of a benchmark's authors: every line is checked, then scored."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from halluc.data.records import finite
from halluc.errors import UserError
from halluc.scoring.bootstrap import DRAWS
from halluc.scoring.scores import score

if TYPE_CHECKING:
    from pathlib import Path

    from halluc.scoring.base import Benchmark


@dataclass(frozen=True)
class AnswerFiles:
    """The files that the scorer of a benchmark's authors is given.

    Attributes:
        answers: The model's answers: a file, or a folder where the format is one.
        labels: Questions or annotations with the right answers, where `answers` lacks them.
        ground_truth: CHAIR's objects per image.
    """

    answers: Path
    labels: Path | None = None
    ground_truth: Path | None = None

    def require(self, name: str, what: str) -> Path:
        """Return a file of the given name ("labels").

        Raises:
            UserError: If it was not given or does not exist.
        """
        path: Path | None = getattr(self, name)
        option = "--" + name.replace("_", "-")
        if path is None:
            raise UserError(f"give {option}: {what}")
        if not path.exists():
            raise UserError(f"{option} {path}: no such file")
        return path


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
    scores = score(benchmark, answers, draws, seed)
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
