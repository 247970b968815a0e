"""Recorded answers next to those they are compared with: differences, corrected, with power."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from halluc.config import BASELINE
from halluc.errors import UserError
from halluc.leaderboard.building_rows import gaps_of, right_wrong_of
from halluc.leaderboard.corrections import adjust
from halluc.plain_text import printable
from halluc.recorded.published_answers import catalogue
from halluc.statistics import compare_scored
from halluc.validation import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from halluc.leaderboard.board import Gap, RightWrong
    from halluc.store import Scored
    from halluc.store.record import Record
    from halluc.store.scores_file import MetricValue

DETECTABLE = 2.80
"""Standard errors that a true difference has to measure so that a two-sided test at .05 finds it
in four of five samples: 1.96 + 0.84."""


@dataclass(frozen=True)
class PairedRecord:
    """A recorded run and another that it is compared with, on the answers both have.

    Attributes:
        ours, theirs: The scores.
        differences: A metric's name to ours minus theirs; p-values corrected over all pairs.
        same_length: The same with captions cut to equal length; empty without captions.
        right_wrong: McNemar's test of the answers.
        n: Answers that both have.
        alike: Whether both state one decoding.
    """

    ours: Scored
    theirs: Scored
    differences: Mapping[str, Gap]
    same_length: Mapping[str, Gap]
    right_wrong: RightWrong | None
    n: int
    alike: bool

    @property
    def metrics(self) -> dict[str, MetricValue]:
        """The headline metrics."""
        return {name: value for name, value in self.ours.scores.values.items() if value.headline}

    def detectable(self, metric: str) -> float | None:
        """Return the least true difference that these answers would show with a power of .8."""
        stderr = self.differences[metric].stderr
        return None if stderr is None else DETECTABLE * stderr


def record_of(scored: Scored) -> Record:
    """Return what is known of a recorded run."""
    record = scored.run.asker.record
    assert record is not None
    return record


def recorded_only(scored: Iterable[Scored]) -> list[Scored]:
    """Return the scores of recorded runs, in the catalogue's order, then by name."""
    place = {entry.name: number for number, entry in enumerate(catalogue().answers)}
    found = [one for one in scored if one.run.asker.record is not None]
    named = [(place.get(record_of(one).name, len(place)), record_of(one).name) for one in found]
    return [one for _, one in sorted(zip(named, found, strict=True), key=lambda pair: pair[0])]


def paired_records(scored: Sequence[Scored]) -> list[PairedRecord]:
    """Compare recorded runs with those that their records and the catalogue name.

    p-values of headline metrics that have a direction are corrected over all pairs together.

    Args:
        scored: Scores of recorded runs.

    Raises:
        UserError: If a name that is compared with is of two records, or of another model's.
    """
    found = [_paired(*pair) for pair in _pairs(scored)]
    family = [
        gap
        for pair in found
        for name, gap in pair.differences.items()
        if name in pair.metrics and pair.metrics[name].higher_is_better is not None
    ]
    adjust(family, [gap.p for gap in family])
    tests = [pair.right_wrong for pair in found if pair.right_wrong is not None]
    adjust(tests, [test.mid_p for test in tests])
    return found


def _pairs(scored: Sequence[Scored]) -> Iterator[tuple[Scored, Scored]]:
    also = {one.name: one.also_against for one in catalogue().answers}
    by_name: dict[tuple[str, str], dict[str, Scored]] = defaultdict(dict)
    for one in scored:
        by_name[record_of(one).name, one.scores.key][one.run.asker.key] = one
    for one in scored:
        record = record_of(one)
        for other in dict.fromkeys((record.baseline, *also.get(record.name, ()))):
            named = [*by_name.get((other, one.scores.key), {}).values()]
            if other != record.name and named:
                yield one, _only(one, other, named)


def _only(ours: Scored, name: str, named: Sequence[Scored]) -> Scored:
    """Return the only record of a name that another is compared with."""
    of = f"{printable(ours.run.path)}: is compared with {shown(name)}"
    if len(named) > 1:
        places = " and ".join(printable(one.run.path) for one in named)
        raise UserError(f"{of}, and {places} have that name; keep one, or name them apart")
    theirs, model = named[0].run.asker.model_id, ours.run.asker.model_id
    if theirs != model:
        raise UserError(
            f"{of}, which is of {printable(theirs)}, not of {printable(model)}; import it again, "
            "with --against a record of its own model"
        )
    return named[0]


def _paired(ours: Scored, theirs: Scored) -> PairedRecord:
    compared = compare_scored(ours, theirs)
    stated = [record_of(one).decoding for one in (ours, theirs)]
    alike = None not in stated and ours.run.asker.decoding == theirs.run.asker.decoding
    return PairedRecord(
        ours,
        theirs,
        gaps_of(compared.differences),
        gaps_of(compared.same_length),
        right_wrong_of(compared),
        compared.n,
        alike,
    )


def is_baseline(scored: Scored) -> bool:
    """Return whether a recorded run is a model without a method."""
    return scored.run.asker.method.name == BASELINE
