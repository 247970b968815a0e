"""Scores of a run: metrics, their intervals, and the answers that were left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from halluc.errors import UserError
from halluc.scoring.bootstrap import DRAWS, Interval, estimate, percentile, resample
from halluc.scoring.thinking import spoken
from halluc.types import Reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from halluc.scoring.base import Benchmark
    from halluc.types import Answer


@dataclass(frozen=True)
class Scores:
    """The scores of a run on a benchmark.

    Attributes:
        values: A metric's name to its estimate and 95% interval, in the order of the card.
        n: The number of answers that were scored, unparseable ones included.
        n_images: The number of units that intervals resample, images unless the benchmark groups
            them.
        failed: The number of samples without an answer; they are not in any count.
        withheld: The number of answers that the method did not give; they are not in any other
            count either.
        unparseable: The number of answers that the parser cannot read; the protocol decides what
            they count as.
        totals: The summed counts behind the values: confusion matrices, mentions, pairs.
    """

    benchmark: str
    values: Mapping[str, Interval]
    n: int
    n_images: int
    failed: int
    unparseable: int
    totals: Mapping[str, float] = field(default_factory=dict)
    withheld: int = 0


class Tallies(NamedTuple):
    """The counts of every cluster: their names, and an array [clusters, names]."""

    names: list[str]
    counts: NDArray[np.float64]


class Missing(NamedTuple):
    """The numbers of samples without an answer, and of answers that were withheld."""

    failed: int
    withheld: int


def missing(answers: Iterable[Answer]) -> Missing:
    """Count what cannot be scored."""
    counts = Counter(answer.status for answer in answers)
    return Missing(counts["failed"], counts["withheld"])


def score(
    benchmark: Benchmark, answers: Iterable[Answer], draws: int = DRAWS, seed: int = 0
) -> Scores:
    """Score answers; the same answers, draws and seed give the same numbers.

    Args:
        answers: The answers of a run; those with status "failed" are counted and left out.
        draws: The number of bootstrap resamples; 0 for no intervals.
        seed: The seed of the resampling.

    Raises:
        UserError: If two answers have the same id, or all have failed.
    """
    answers = list(answers)
    readings = read(benchmark, answers)
    return score_readings(benchmark, readings, missing(answers), draws, seed)


def score_readings(
    benchmark: Benchmark,
    readings: Sequence[Reading],
    without: Missing,
    draws: int = DRAWS,
    seed: int = 0,
    counted: Tallies | None = None,
) -> Scores:
    """Score what was read in answers.

    Args:
        without: The numbers of samples whose answers are not among them.
        draws, seed: As for `score`.
        counted: The counts of every cluster, if they are known.

    Returns:
        The scores; where a method withheld all there was to score, no metric is defined.

    Raises:
        UserError: If there is nothing to score.
    """
    import numpy as np

    if not readings and not without.withheld:
        raise UserError(
            f"{benchmark.name}: none of {without.failed} answers can be scored: all failed"
        )
    names, counts = counted or tallies(benchmark, clusters(benchmark, readings).values())
    if not readings:
        names, counts = [], np.zeros((0, 0))
    values = estimate(counts, names, benchmark.metrics)
    if draws and readings:
        drawn = resample(counts, names, benchmark.metrics, draws, seed)
        intervals = {name: percentile(values[name], drawn[name]) for name in values}
    else:
        intervals = {name: Interval(v) for name, v in values.items()}
    return Scores(
        benchmark=benchmark.name,
        values=intervals,
        n=len(readings),
        n_images=len(counts),
        failed=without.failed,
        withheld=without.withheld,
        unparseable=sum(reading.prediction is None for reading in readings),
        totals=dict(zip(names, counts.sum(axis=0).tolist(), strict=True)),
    )


def read(benchmark: Benchmark, answers: Iterable[Answer]) -> list[Reading]:
    """Parse answers; failed ones and those that were withheld are dropped, thoughts taken out.

    Raises:
        UserError: If two answers have the same id.
        NeedsJudge: If a judge has to read them and there is none.
    """
    answers = list(answers)
    repeated = [id for id, n in Counter(a.id for a in answers).items() if n > 1]
    if repeated:
        raise UserError(f"{benchmark.name}: sample {repeated[0]!r} is answered more than once")
    ok = (spoken(answer) for answer in answers if answer.status == "ok")
    return [Reading(answer, benchmark.predict(answer)) for answer in ok]


def clusters(benchmark: Benchmark, readings: Iterable[Reading]) -> dict[str, list[Reading]]:
    """Group readings by the unit that is resampled, sorted so that their order does not matter."""
    grouped: dict[str, list[Reading]] = {}
    for reading in sorted(readings, key=lambda reading: reading.id):
        grouped.setdefault(benchmark.cluster(reading.answer), []).append(reading)
    return dict(sorted(grouped.items()))


def tallies(benchmark: Benchmark, grouped: Iterable[Sequence[Reading]]) -> Tallies:
    """Count what was read in every cluster."""
    return tallied([benchmark.tally(readings) for readings in grouped])


def tallied(rows: Sequence[Mapping[str, float]]) -> Tallies:
    """Put the counts of every cluster into one array."""
    import numpy as np

    names = sorted({name for row in rows for name in row})
    counts = np.array([[row.get(name, 0.0) for name in names] for row in rows], dtype=float)
    return Tallies(names, counts)
