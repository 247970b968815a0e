"""Which gains survive: the same decoding, its control, equal length, and many tests.

Papers often compare a method that cuts unlikely tokens with a baseline that samples from all of
them. What greedy decoding alone gains over sampling is then taken for the method's gain.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, get_args

from halluc.config import BASELINE
from halluc.leaderboard.board import Value
from halluc.leaderboard.building_rows import CONTROLS
from halluc.leaderboard.formatting import better, labels
from halluc.scoring.bootstrap import Interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from halluc.leaderboard.board import Gap, Row

Verdict = Literal[
    "survives",
    "shorter only",
    "as a control",
    "sampling only",
    "sampling, as its control",
    "worse",
    "undecided",
]
UNDECIDED: Final = "undecided"
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


class Over(NamedTuple):
    """What a method gains over a control, paired by image."""

    control: str
    gap: Interval


@dataclass(frozen=True)
class Gains:
    """What one method gains by one metric on one model, ours minus theirs.

    Attributes:
        greedy: Over the greedy baseline, greedy; `same_length` with descriptions cut.
        greedy_control: Greedy, over the greedy control that is gained least over.
        sampled: Over the sampled baseline, sampled: the mean over seeds.
        sampled_control: Sampled, over the sampled control that is gained least over.
        control: Whether the method is a control itself.
        value: The metric, for its direction and scale.
    """

    greedy: Gap | None
    same_length: Gap | None
    greedy_control: Over | None
    sampled: Interval | None
    sampled_control: Over | None
    value: Value
    control: bool = False

    @property
    def verdict(self) -> Verdict:
        """What is left of the gain, by the rules of `gains_page`."""
        decided = None if self.greedy is None else better(self.greedy, self.value)
        if decided is False:
            return "worse"
        if decided:
            least = self.greedy_control
            if self.control or (least is not None and not self._better(least.gap)):
                return "as a control"
            kept = self.same_length is None or self._better(self.same_length)
            return "survives" if kept else "shorter only"
        if self.sampled is None or not self._better(self.sampled):
            return UNDECIDED
        least = self.sampled_control
        more = not self.control and least is not None and self._better(least.gap)
        return "sampling only" if more else "sampling, as its control"

    def _better(self, gap: Gap | Interval) -> bool:
        """Return whether the whole interval is on the better side of 0."""
        low, high = gap.low, gap.high
        if low is None or high is None:
            return False
        return low > 0 if self.value.higher_is_better else high < 0


def over_seeds(gaps: Sequence[Gap]) -> Interval:
    """Average differences of several seeds; as if their errors were one, which is cautious."""
    value, stderr = mean(gap.value for gap in gaps), mean(gap.stderr or 0.0 for gap in gaps)
    return _normal(value, stderr)


def least_over(rows: Sequence[Row], metric: str, rises: bool) -> Over | None:
    """Return the control a method gains least over, the mean over the method's rows.

    Args:
        rows: Of one method under one decoding, one for each seed.
        rises: Whether more of the metric is better.
    """
    gaps: dict[str, list[Gap]] = {}
    for row in rows:
        for name, over_control in row.over_controls.items():
            if metric in over_control:
                gaps.setdefault(name, []).append(over_control[metric])
    over = [Over(name, over_seeds(known)) for name, known in gaps.items()]
    return min(over, key=lambda one: one.gap.value * (1 if rises else -1), default=None)


def _normal(value: float, stderr: float) -> Interval:
    return Interval(value, value - 1.96 * stderr, value + 1.96 * stderr, stderr)


def gains(rows: Sequence[Row], metric: str) -> dict[str, Gains]:
    """Gather what each method gains, from the rows of one benchmark and model.

    Args:
        rows: Greedy ones and sampled ones of any number of seeds, each with its baseline.
    """
    greedy, drawn = _by_method(rows, sampled=False), _by_method(rows, sampled=True)
    value = rows[0].metrics[metric]
    rises = value.higher_is_better is True
    found = {}
    for name in dict.fromkeys((*greedy, *drawn)):
        one, many = greedy.get(name, [])[:1], drawn.get(name, [])
        known = [row.differences[metric] for row in many if metric in row.differences]
        method = (one or many)[0].method
        found[name] = Gains(
            greedy=one[0].differences.get(metric) if one else None,
            same_length=one[0].same_length.get(metric) if one else None,
            greedy_control=least_over(one, metric, rises),
            sampled=over_seeds(known) if known else None,
            sampled_control=least_over(many, metric, rises),
            value=value,
            control=method in CONTROLS["yes_no"],
        )
    return found


def greedy_alone(rows: Sequence[Row], metric: str) -> Interval | None:
    """Return what the greedy baseline is better by than the sampled one, the mean over seeds."""
    greedy = [row for row in rows if row.method == BASELINE and not row.decoding["do_sample"]]
    drawn = [row for row in rows if row.method == BASELINE and row.decoding["do_sample"]]
    if not greedy or not drawn:
        return None
    one, values = greedy[0].metrics[metric], [row.metrics[metric] for row in drawn]
    if one.value is None or any(value.value is None for value in values):
        return None
    base = mean(value.value or 0.0 for value in values)
    stderr = ((one.stderr or 0.0) ** 2 + mean(v.stderr or 0.0 for v in values) ** 2) ** 0.5
    return _normal(one.value - base, stderr)


def _by_method(rows: Sequence[Row], sampled: bool) -> dict[str, list[Row]]:
    kind = [row for row in rows if bool(row.decoding["do_sample"]) is sampled]
    found: dict[str, list[Row]] = {}
    for row, label in zip(kind, labels(kind), strict=True):
        if row.method != BASELINE and row.decoding["num_beams"] == 1:
            found.setdefault(label, []).append(row)
    return found
