"""Two runs, or two answers files of one benchmark, compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from halluc.data.records import finite
from halluc.errors import UserError
from halluc.leaderboard.board import Gap, RightWrong
from halluc.leaderboard.building_rows import gaps_of, right_wrong_of
from halluc.leaderboard.corrections import adjust
from halluc.scoring.building import build
from halluc.statistics import compare, compare_scored
from halluc.store import RunFolder, Scored, find_scored

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from halluc.scoring.answer_files import AnswerFiles
    from halluc.scoring.base import Benchmark
    from halluc.statistics import Comparison


_OF_THE_METHOD: Any = {
    "method": True,
    "method_source": True,
    "record": {"name", "source", "sha256", "method", "baseline"},
}


class Compared(BaseModel):
    """One metric of both runs; the p-values of headline metrics are corrected for all of them."""

    model_config = ConfigDict(extra="forbid")

    ours: float | None
    theirs: float | None
    difference: Gap | None
    same_length: Gap | None
    headline: bool
    higher_is_better: bool | None
    scale: float


class Pair(BaseModel):
    """Two runs on one benchmark; `notes` is what a reader of the numbers has to know."""

    model_config = ConfigDict(extra="forbid")

    n: int
    n_images: int
    right_wrong: RightWrong | None
    metrics: dict[str, Compared]
    notes: list[str]


class RunPairs(NamedTuple):
    """Two runs on all benchmarks they share.

    Attributes:
        pairs: A benchmark's name to the comparison.
        differ_in: What the runs differ in besides the method.
    """

    pairs: dict[str, Pair]
    differ_in: list[str]


def compare_runs(ours: Path, theirs: Path, protocol: str | None = None) -> RunPairs:
    """Compare two run folders on what was scored in both by one rule.

    Args:
        protocol: The one protocol to compare by; None for all.

    Raises:
        UserError: If a folder is not a run, or they have no scores of the same samples.
    """
    a, b = RunFolder.read(ours), RunFolder.read(theirs)
    mine, other = ([one for one in find_scored(run) if _wanted(one, protocol)] for run in (a, b))
    pairs = compare_scores(mine, other)
    if not pairs:
        said = " and ".join(f"{path} {_scorings(run)}" for path, run in ((ours, a), (theirs, b)))
        raise UserError(f"{said}: they have no scores of the same samples by the same protocol")
    return RunPairs(pairs, differing(a, b))


def compare_scores(ours: Iterable[Scored], theirs: Iterable[Scored]) -> dict[str, Pair]:
    """Compare what two runs were scored in by one rule, by the benchmark's name."""
    mine, other = ({one.scores.key: one for one in scored} for scored in (ours, theirs))
    pairs = {}
    for key in (key for key in mine if key in other):
        one = mine[key]
        comparison = compare_scored(one, other[key])
        name = _name(one, [o for k, o in mine.items() if k in other])
        pairs[name] = _pair(one.reader, comparison, one.scores.notes)
    return _corrected(pairs)


def differing(ours: RunFolder, theirs: RunFolder) -> list[str]:
    """List what two runs differ in besides the method."""
    first, second = (run.asker.model_dump(exclude=_OF_THE_METHOD) for run in (ours, theirs))
    return sorted(_differing(first, second))


def _wanted(scored: Scored, protocol: str | None) -> bool:
    return protocol in (None, scored.scores.scoring.protocol)


def _name(scored: Scored, others: Sequence[Scored]) -> str:
    """Name a comparison: the benchmark, and what tells it apart from others of that benchmark."""
    same = [other for other in others if other.name == scored.name]
    if len(same) == 1:
        return scored.name
    scores = scored.scores
    return f"{scored.name} ({scores.scoring.protocol}, {scores.n_images} images, {scores.key})"


def _scorings(run: RunFolder) -> str:
    names = {f"{one.name} by {one.scores.scoring.protocol}" for one in find_scored(run)}
    return f"has scores of {', '.join(sorted(names)) or 'nothing'}"


def compare_files(
    name: str, options: Mapping[str, Any], ours: AnswerFiles, theirs: AnswerFiles
) -> dict[str, Pair]:
    """Compare two answers files in a benchmark's official format.

    Raises:
        UserError: If anything about the files is wrong; names the line.
    """
    # Each file has a benchmark of its own: reading may change what one expects.
    benchmark, other = build(name, options), build(name, options)
    answers = benchmark.read_answers(ours), other.read_answers(theirs)
    comparison = compare(benchmark, *answers)
    return _corrected({name: _pair(benchmark, comparison, benchmark.notes)})


def _pair(benchmark: Benchmark, comparison: Comparison, notes: Sequence[str]) -> Pair:
    gaps, equal = gaps_of(comparison.differences), gaps_of(comparison.same_length)
    values = finite([dict(comparison.ours), dict(comparison.theirs)])
    return Pair(
        n=comparison.n,
        n_images=comparison.n_images,
        right_wrong=right_wrong_of(comparison),
        metrics={
            metric.name: Compared(
                ours=values[0][metric.name],
                theirs=values[1][metric.name],
                difference=gaps.get(metric.name),
                same_length=equal.get(metric.name),
                headline=metric.headline,
                higher_is_better=metric.higher_is_better,
                scale=metric.scale,
            )
            for metric in benchmark.card.metrics
            if metric.name in comparison.ours
        },
        notes=list(notes),
    )


def _corrected(pairs: dict[str, Pair]) -> dict[str, Pair]:
    family = [
        metric.difference
        for pair in pairs.values()
        for metric in pair.metrics.values()
        if metric.difference and metric.headline and metric.higher_is_better is not None
    ]
    adjust(family, [gap.p for gap in family])
    return pairs


def _differing(ours: Any, theirs: Any, path: str = "") -> Iterator[str]:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in ours.keys() | theirs.keys():
            yield from _differing(ours.get(key), theirs.get(key), f"{path}.{key}".lstrip("."))
    elif ours != theirs:
        yield f"{path} ({ours} and {theirs})"
