"""The comparison of two runs that answered the same samples."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from halluc.errors import UserError
from halluc.scoring.bootstrap import DRAWS, estimate
from halluc.scoring.scores import clusters, read, tallied, tallies
from halluc.statistics.length import same_length
from halluc.statistics.paired import Difference, differences
from halluc.statistics.significance import McNemar, mcnemar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from halluc.scoring.base import Benchmark
    from halluc.scoring.bootstrap import Array
    from halluc.store import Scored
    from halluc.types import Answer, Reading


class NothingInCommon(UserError):
    """Two runs answered no sample in common."""


@dataclass(frozen=True)
class Comparison:
    """Two runs on a benchmark.

    Attributes:
        n, n_images: Samples both answered, and the clusters they come in.
        ours, theirs: A metric's name to either run's value on these samples.
        differences: A metric's name to ours minus theirs.
        right_wrong: McNemar's test, where answers are right or wrong.
        same_length: Differences of descriptions cut to equal length; empty where there are none.
    """

    n: int
    n_images: int
    ours: Mapping[str, float]
    theirs: Mapping[str, float]
    differences: Mapping[str, Difference]
    right_wrong: McNemar | None
    same_length: Mapping[str, Difference]


def compare(
    benchmark: Benchmark,
    ours: Iterable[Answer],
    theirs: Iterable[Answer],
    draws: int = DRAWS,
    seed: int = 0,
) -> Comparison:
    """Compare the answers of two files, paired: only samples that both answered count.

    Args:
        draws: Bootstrap resamples, and random swaps.
        seed: Of both; the same answers, draws and seed give the same numbers.

    Raises:
        NothingInCommon: If they have no sample in common.
    """
    both = common(benchmark.name, read(benchmark, ours), read(benchmark, theirs))
    rights = [[benchmark.right(reading) for reading in side] for side in both]
    return _comparison(
        benchmark, _counts(benchmark, *both), rights, _shorter(benchmark, *both), draws, seed
    )


def compare_scored(
    ours: Scored,
    theirs: Scored,
    draws: int = DRAWS,
    seed: int = 0,
    brief: bool = False,
) -> Comparison:
    """Compare two scored runs, paired: only samples that both answered count.

    What was counted in each image is taken from the runs' files. Answers are parsed again only
    where they are cut to equal length, or where the other run lacks some of an image's.

    Args:
        draws, seed: As for `compare`.
        brief: For intervals alone: nothing at equal length, and no swaps that resolve a small p.

    Raises:
        NothingInCommon: If they have no sample in common.
        UserError: If the benchmark is not installed.
    """
    mine, other = (
        {a.id: a for i in side.images.values() for a in i.answers} for side in (ours, theirs)
    )
    ids = sorted(mine.keys() & other.keys())
    if not ids:
        raise NothingInCommon(f"{ours.name}: the two runs answered no sample in common")
    rights = [[side[id].right for id in ids] for side in (mine, other)]
    benchmark = ours.reader
    captions = not brief and benchmark.card.task in ("caption", "mixed")
    same = mine.keys() == other.keys() and ours.images.keys() == theirs.images.keys()
    texts: tuple[list[Reading], list[Reading]] | None = None
    if captions or not same:
        texts = common(benchmark.name, ours.readings, theirs.readings)
    if same:
        images = list(ours.images)
        names, counts = tallied([side.images[i].counts for side in (ours, theirs) for i in images])
        counted = names, counts[: len(images)], counts[len(images) :]
    else:
        assert texts is not None
        counted = _counts(benchmark, *texts)
    shorter = None
    if texts is not None and captions:
        with suppress(UserError):  # its synonym tables are not on this machine
            shorter = _shorter(benchmark, *texts)
    return _comparison(benchmark, counted, rights, shorter, draws, seed, not brief)


Counts = tuple[list[str], "Array", "Array"]


def _comparison(
    benchmark: Benchmark,
    counted: Counts,
    rights: Sequence[Sequence[bool | None]],
    shorter: Counts | None,
    draws: int,
    seed: int,
    resolve: bool = True,
) -> Comparison:
    names, mine, other = counted
    metrics = benchmark.metrics
    return Comparison(
        n=len(rights[0]),
        n_images=len(mine),
        ours=estimate(mine, names, metrics),
        theirs=estimate(other, names, metrics),
        differences=differences(mine, other, names, metrics, draws, seed, resolve),
        right_wrong=_right_wrong(*rights),
        same_length=differences(*shorter[1:], shorter[0], metrics, draws, seed) if shorter else {},
    )


def common(
    name: str, ours: Iterable[Reading], theirs: Iterable[Reading]
) -> tuple[list[Reading], list[Reading]]:
    """Return what was read in answers to the samples that both answered, in the same order.

    Args:
        name: The benchmark's.

    Raises:
        NothingInCommon: If there are none.
    """
    mine, other = ({reading.id: reading for reading in side} for side in (ours, theirs))
    ids = sorted(mine.keys() & other.keys())
    if not ids:
        raise NothingInCommon(f"{name}: the two runs answered no sample in common")
    return [mine[id] for id in ids], [other[id] for id in ids]


def _counts(benchmark: Benchmark, ours: Sequence[Reading], theirs: Sequence[Reading]) -> Counts:
    """Return the counts' names, and both sides' counts [images, names], images in one order."""
    grouped = [clusters(benchmark, side) for side in (ours, theirs)]
    names, counts = tallies(benchmark, [group for side in grouped for group in side.values()])
    return names, counts[: len(grouped[0])], counts[len(grouped[0]) :]


def _shorter(
    benchmark: Benchmark, ours: Sequence[Reading], theirs: Sequence[Reading]
) -> Counts | None:
    """Count descriptions cut to equal length; None where there are none."""
    answers = ([reading.answer for reading in side] for side in (ours, theirs))
    cut = [read(benchmark, side) for side in same_length(benchmark, *answers)]
    return _counts(benchmark, *cut) if cut[0] else None


def _right_wrong(ours: Sequence[bool | None], theirs: Sequence[bool | None]) -> McNemar | None:
    pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if a is not None and b is not None]
    return mcnemar([a for a, _ in pairs], [b for _, b in pairs]) if pairs else None
