"""Rows of a board next to a claim: what they measure, and in what they differ from it."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING

from halluc.claims.conditions import differing
from halluc.claims.verdicts import NOT_MEASURED, judge, power
from halluc.config import BASELINE
from halluc.leaderboard.formatting import decoded
from halluc.leaderboard.seed_spread import but_for_seed
from halluc.leaderboard.surviving_gains import over_seeds
from halluc.scoring.bootstrap import Interval

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from halluc.claims.claim import Claim
    from halluc.claims.verdicts import Verdict
    from halluc.leaderboard.board import Board, Gap, Row

DRAWN = {
    "pope_coco": "glyph_pope",
    "pope_aokvqa": "glyph_pope",
    "pope_gqa": "glyph_pope",
    "chair_coco": "glyph_chair",
    "chair_coco_64": "glyph_chair",
    "mme_hallucination": "glyph_mme",
}
"""Benchmarks of drawn scenes that ask what those of photographs ask."""


@dataclass(frozen=True)
class Measured:
    """What runs say next to a claim; the mean over seeds where there are several.

    Attributes:
        rows: One a seed.
        baseline, value: Without the method and with it, in the claim's unit; None where undefined.
        difference: Paired, in the claim's unit.
        images: How many were asked about.
        other: In what the runs differ from the claim; without any, there is a verdict.
        verdict: By `RULE`; None for runs that differ from the claim.
        power: To find the claimed difference.
    """

    rows: tuple[Row, ...]
    baseline: float | None
    value: float | None
    difference: Interval
    images: int
    other: tuple[str, ...]
    verdict: Verdict | None
    power: float | None

    @property
    def recorded(self) -> bool:
        """Whether others published the answers."""
        return self.rows[0].record is not None

    @property
    def where(self) -> str:
        """Name benchmark, model and decoding as far as they are not the claim's."""
        row, seeds = self.rows[0], len(self.rows)
        parts = [row.model] * ("model" in self.other) + [row.benchmark] * ("images" in self.other)
        parts += [decoded(row)] * ("decoding" in self.other)
        parts += [f"{seeds} seeds"] * (seeds > 1) + ["recorded"] * self.recorded
        return ", ".join(parts)


def measured(claim: Claim, board: Board) -> list[Measured]:
    """Gather what a board's rows say next to a claim, first those it is about.

    Rows of other models are left out where they are decoded in another way as well.
    """
    known = {row.key: row for row in board.rows}
    groups: dict[str, list[Row]] = {}
    for row in board.rows:
        if _beside(claim, row):
            groups.setdefault(f"{but_for_seed(row)}{row.method_args}{row.record}", []).append(row)
    found = [_measured(claim, rows, known) for rows in groups.values()]
    return sorted(
        (one for one in found if not {"model", "decoding"} <= set(one.other)),
        key=lambda one: (len(one.other), -one.images),
    )


def status(claim: Claim, found: Sequence[Measured]) -> Verdict | str:
    """Return the verdict of the measurement on most images; "not measured" where there is none."""
    judged = [one for one in found if one.verdict is not None]
    return max(judged, key=lambda one: one.images).verdict or "" if judged else NOT_MEASURED


def _beside(claim: Claim, row: Row) -> bool:
    return (
        row.method == claim.method != BASELINE
        and row.benchmark in (claim.benchmark, DRAWN.get(claim.benchmark))
        and claim.metric in row.differences
    )


def _measured(claim: Claim, rows: list[Row], known: Mapping[str, Row]) -> Measured:
    metric, scale = claim.metric, rows[0].metrics[claim.metric].scale
    gaps = [row.differences[metric] for row in rows]
    gap = _interval(gaps[0]) if len(gaps) == 1 else over_seeds(gaps)
    gap = Interval(*(number * scale for number in vars(gap).values()))
    value = _mean(row.metrics[metric].value for row in rows)
    images = min(row.n_images for row in rows)
    other = tuple(differing(claim, rows[0], known.get(rows[0].baseline or "")))
    return Measured(
        rows=tuple(rows),
        baseline=None if value is None else value * scale - gap.value,
        value=None if value is None else value * scale,
        difference=gap,
        images=images,
        other=other,
        verdict=None if other else judge(claim.difference, gap, images),
        power=power(claim.difference, gap.stderr),
    )


def _interval(gap: Gap) -> Interval:
    nan = float("nan")
    numbers = (gap.low, gap.high, gap.stderr)
    return Interval(gap.value, *(nan if number is None else number for number in numbers))


def _mean(values: Iterable[float | None]) -> float | None:
    known = list(values)
    return None if None in known else mean(number for number in known if number is not None)
