"""scores = score(benchmark, answers): values, their intervals, and what was left out."""

from __future__ import annotations

from collections import Counter
from copy import copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from halluc.errors import UserError
from halluc.scoring.bootstrap import DRAWS, Interval, estimate, percentile, resample
from halluc.scoring.judges.judge_models import NeedsJudge

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from halluc.scoring.base import Benchmark
    from halluc.types import Answer


@dataclass(frozen=True)
class Scores:
    """What a benchmark makes of a run.

    Attributes:
        values: A metric's name to its estimate and 95% interval, in the order of the card.
        n: Answers scored, the unparseable included.
        n_images: Clusters the intervals resample: images, unless the benchmark says otherwise.
        failed: Answers that could not be had; they are in no count.
        unparseable: Answers the parser could make nothing of; what they count as is the
            protocol's affair.
        totals: The summed counts behind the values: confusion matrices, mentions, pairs.
    """

    benchmark: str
    values: Mapping[str, Interval]
    n: int
    n_images: int
    failed: int
    unparseable: int
    totals: Mapping[str, float] = field(default_factory=dict)


def score(
    benchmark: Benchmark, answers: Iterable[Answer], draws: int = DRAWS, seed: int = 0
) -> Scores:
    """Score answers; the same answers, draws and seed give the same numbers.

    Args:
        answers: Of one run; those with status "failed" are counted and left out.
        draws: Bootstrap resamples; 0 for no intervals.
        seed: Of the resampling.

    Raises:
        UserError: If two answers have the same id, or none is left to score.
    """
    answers = list(answers)
    done = parsed(benchmark, answers)
    if not done:
        raise UserError(f"{benchmark.name}: none of {len(answers)} answers can be scored")
    names, counts = tallies(benchmark, clusters(benchmark, done).values())
    values = estimate(counts, names, benchmark.metrics)
    if draws:
        drawn = resample(counts, names, benchmark.metrics, draws, seed)
        intervals = {name: percentile(values[name], drawn[name]) for name in values}
    else:
        intervals = {name: Interval(v) for name, v in values.items()}
    return Scores(
        benchmark=benchmark.name,
        values=intervals,
        n=len(done),
        n_images=len(counts),
        failed=len(answers) - len(done),
        unparseable=sum(answer.prediction is None for answer in done),
        totals=dict(zip(names, counts.sum(axis=0).tolist(), strict=True)),
    )


def by_protocol(
    benchmark: Benchmark, answers: Iterable[Answer], draws: int = DRAWS, seed: int = 0
) -> dict[str, Scores]:
    """Score the same answers under every protocol of a benchmark that can be had.

    Returns:
        A protocol's name to its scores, the benchmark's own first; one that needs a judge is left
        out where there is none.

    Raises:
        NeedsJudge: If that leaves none.
    """
    answers = list(answers)
    scores: dict[str, Scores] = {}
    refusal: NeedsJudge | None = None
    for protocol in benchmark.protocols:
        variant = copy(benchmark)
        variant.protocol = protocol
        try:
            scores[protocol] = score(variant, answers, draws, seed)
        except NeedsJudge as error:
            refusal = error
    if refusal is not None and not scores:
        raise refusal
    return scores


def parsed(benchmark: Benchmark, answers: Iterable[Answer]) -> list[Answer]:
    """Drop failed answers and fill in what the benchmark's parser makes of the others.

    Raises:
        UserError: If two answers have the same id.
    """
    answers = list(answers)
    repeated = [id for id, n in Counter(a.id for a in answers).items() if n > 1]
    if repeated:
        raise UserError(f"{benchmark.name}: sample {repeated[0]!r} is answered more than once")
    ok = (answer for answer in answers if answer.status == "ok")
    return [replace(answer, prediction=benchmark.predict(answer)) for answer in ok]


def clusters(benchmark: Benchmark, answers: Iterable[Answer]) -> dict[str, list[Answer]]:
    """Group answers by what the benchmark resamples, sorted so that their order cannot matter."""
    grouped: dict[str, list[Answer]] = {}
    for answer in sorted(answers, key=lambda answer: answer.id):
        grouped.setdefault(benchmark.cluster(answer), []).append(answer)
    return dict(sorted(grouped.items()))


def tallies(
    benchmark: Benchmark, grouped: Iterable[Sequence[Answer]]
) -> tuple[list[str], NDArray[np.float64]]:
    """Count every cluster: the counts' names, and an array [clusters, names]."""
    import numpy as np

    rows = [benchmark.tally(answers) for answers in grouped]
    names = sorted({name for row in rows for name in row})
    return names, np.array([[row.get(name, 0.0) for name in names] for row in rows], dtype=float)
