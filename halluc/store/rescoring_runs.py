"""Scores of answers that are kept: by another protocol, judge, or file of labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halluc.errors import UserError
from halluc.provenance import where
from halluc.scoring.building import build, options_taken, taken
from halluc.scoring.judges.judge_models import NeedsJudge
from halluc.store.matching_answers import match_answers
from halluc.store.run_folder import RunFolder
from halluc.store.scored_run import find_scored, score_run, scoring_of
from halluc.store.scores_file import AskedSample, SampleSet, ScoresFile
from halluc.types import Answer

ALL = "all"
"""The protocol that stands for every protocol of a benchmark."""


@dataclass(frozen=True)
class Rescored:
    """The scores of one set of samples, by protocol.

    Attributes:
        asked: The samples.
        scores: By protocol.
    """

    asked: SampleSet
    scores: dict[str, ScoresFile]


def rescore(
    run: RunFolder,
    options: Mapping[str, Any],
    only: str | None = None,
    labels: Mapping[str, Path] | None = None,
) -> list[Rescored]:
    """Score what a run has answered, and keep the scores next to the answers.

    Args:
        options: Options of `build`, each for the benchmarks that take it; the protocol may be
            "all". Without a protocol, those the answers were scored by before.
        only: The one benchmark to score.
        labels: A split's name to a file of other labels, for POPE.

    Raises:
        UserError: If nothing was asked, an answer is missing, or an option fits nothing.
        NeedsJudge: If a judge is needed and none is given.
    """
    sets = [(a, samples) for a, samples in run.sample_sets() if only in (None, a.benchmark)]
    if not sets:
        known = ", ".join(sorted({a.benchmark for a, _ in run.sample_sets()})) or "nothing"
        raise UserError(f"{run.path}: has no {only or 'answers'}, only {known}")
    names = sorted({asked.benchmark for asked, _ in sets})
    for key in options:
        if not any(key in taken(name) for name in names):
            raise UserError(f"{', '.join(names)}: takes no {key!r}")
    found = [_rescored(run, asked, samples, options, labels or {}) for asked, samples in sets]
    relabelled = any(scores.scoring.labels for one in found for scores in one.scores.values())
    if labels and not relabelled:
        raise UserError(f"{', '.join(names)}: takes no other labels; POPE on photographs does")
    return found


def _rescored(
    run: RunFolder,
    asked: SampleSet,
    samples: Sequence[AskedSample],
    options: Mapping[str, Any],
    labels: Mapping[str, Path],
) -> Rescored:
    name = asked.benchmark
    earlier = [one.scores for one in find_scored(run) if one.scores.asked.key == asked.key]
    typed = options_taken(name, options)
    paths = {key: path for one in earlier for key, path in one.paths.items() if Path(path).exists()}
    wanted = typed.pop("protocol", None)
    base = {**paths, **asked.options, "prompt": asked.wording, **typed}
    answers = answers_to(run, asked, samples)
    protocols = [wanted] if wanted not in (None, ALL) else list(build(name, base).protocols)
    if wanted is None:
        protocols = list(dict.fromkeys(one.scoring.protocol for one in earlier)) or protocols[:1]
    scores, refusal = dict[str, ScoresFile](), None
    for protocol in protocols:
        chosen = base | {"protocol": protocol}
        benchmark = build(name, chosen)
        if run.asker.record is not None:
            benchmark.narrow({answer.group for answer in answers})
        other = benchmark.relabelled(answers, labels) if labels else None
        scoring = scoring_of(benchmark, chosen, labels if other is not None else None)
        told = answers if other is None else other
        try:
            kept = score_run(run, benchmark, asked, scoring, told, where(), paths=chosen)
            scores[protocol] = kept.scores
        except NeedsJudge as error:
            refusal = error
    if refusal is not None and (wanted != ALL or not scores):
        raise refusal
    return Rescored(asked, scores)


def answers_to(run: RunFolder, asked: SampleSet, samples: Sequence[AskedSample]) -> list[Answer]:
    """Return a run's answers to a set of samples, with what each is compared with.

    Raises:
        UserError: If a sample has no answer yet.
    """
    answers = list(match_answers(run.answers(asked.benchmark), samples).values())
    if len(answers) < len(samples):
        raise UserError(
            f"{run.path}: {asked.benchmark} has {len(answers)} of {len(samples)} answers; run its "
            "'halluc eval' again to finish it"
        )
    return answers
