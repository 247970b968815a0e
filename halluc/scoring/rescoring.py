"""Scores from answers that are already there: a run's own, or those of an answers file."""

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
from halluc.scoring.scores import by_protocol, score
from halluc.scoring.yes_probability import logit_scores

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from halluc.scoring.base import Benchmark
    from halluc.types import Answer


def score_answers(
    benchmark: Benchmark,
    answers: Sequence[Answer],
    all_protocols: bool = False,
    labels: Mapping[str, Path] | None = None,
) -> dict[str, Any]:
    """Score answers under the benchmark's protocol, or side by side under all of its protocols.

    Args:
        labels: A split's name to a file of other labels, for POPE; other benchmarks ignore it.

    Returns:
        What JSON can hold: "protocols", a protocol's name to its scores, and "notes"; "labels"
        where other labels were used; "logits", the scores from p(yes), where there are any.
    """
    result: dict[str, Any] = {}
    if labels and (relabelled := benchmark.relabelled(answers, labels)) is not None:
        answers = relabelled
        result["labels"] = {split: path.name for split, path in labels.items()}
    if all_protocols:
        scores = by_protocol(benchmark, answers)
    else:
        scores = {benchmark.protocol: score(benchmark, answers)}
    result["protocols"] = {key: finite(asdict(value)) for key, value in scores.items()}
    if logits := logit_scores(benchmark, answers):
        result["logits"] = finite(logits)
    return {**result, "notes": benchmark.notes}


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
