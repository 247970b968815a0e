"""What `halluc power` plans for: said by the user, or observed in a pilot of two runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from halluc.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from halluc.store import Scored


class Sought(NamedTuple):
    """What a plan is made for.

    Attributes:
        difference: In the share of right answers.
        observed: On how many answers of the pilot it was observed; 0 where the user gave it.
    """

    benchmark: str
    difference: float
    observed: int


def sought(
    benchmark: str | None, difference: float | None, runs: tuple[Path, Path] | None
) -> Sought:
    """Fill in from a pilot what the user did not say.

    Args:
        benchmark: None for the only one of which both runs have right or wrong answers.
        difference: None for the one observed, without its sign.

    Raises:
        UserError: If something is missing that no pilot tells.
    """
    if benchmark is not None and difference is not None:
        return Sought(benchmark, difference, 0)
    if runs is None:
        missing = "--benchmark pope_coco" if benchmark is None else "--difference 0.01"
        raise UserError(f"say {missing.split()[0]}, as in {missing}; or give --pilot RUN RUN")
    name, gaps = _gaps(runs, benchmark)
    if difference is not None:
        return Sought(name, difference, 0)
    difference, differ = abs(sum(gaps)) / len(gaps), sum(map(abs, gaps)) / len(gaps)
    if not 0 < difference < differ:
        shown = "differ in one direction only" if difference else "are right equally often"
        raise UserError(
            f"--difference: {runs[0]} and {runs[1]} {shown}; say which difference is to be found, "
            "as in --difference 0.01"
        )
    return Sought(name, difference, len(gaps))


def _gaps(runs: tuple[Path, Path], benchmark: str | None) -> tuple[str, list[int]]:
    """Return a benchmark, and for each answer both runs gave which one is right: 1, 0 or -1."""
    ours, theirs = (_right(run, benchmark) for run in runs)
    gaps: dict[str, list[int]] = {}
    for name in ours.keys() & theirs.keys():
        both = ours[name].keys() & theirs[name].keys()
        gaps[name] = [ours[name][id] - theirs[name][id] for id in both]
    known = sorted(name for name in gaps if gaps[name])
    if not known:
        of = f" of {benchmark}" if benchmark else ""
        raise UserError(f"{runs[0]} and {runs[1]} have no answers in common{of}, right or wrong")
    if len(known) > 1:
        raise UserError(f"--benchmark: the pilot has {', '.join(known)}; name one")
    return known[0], gaps[known[0]]


def _right(path: Path, benchmark: str | None) -> Mapping[str, dict[str, bool]]:
    """Return by benchmark and id which answers of a run are right, of its largest scores."""
    from halluc.store import RunFolder, find_scored

    largest: dict[str, Scored] = {}
    for one in find_scored(RunFolder.read(path)):
        most = largest.get(one.name)
        if benchmark in (None, one.name) and (most is None or one.scores.n > most.scores.n):
            largest[one.name] = one
    return {
        name: {
            answer.id: answer.right
            for image in one.images.values()
            for answer in image.answers
            if answer.right is not None
        }
        for name, one in largest.items()
    }
