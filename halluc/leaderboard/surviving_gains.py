"""Which gains survive: the same decoding, its control, equal length, and many tests.

Papers often compare a method that cuts unlikely tokens with a baseline that samples from all of
them. What greedy decoding alone gains over sampling is then taken for the method's gain.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING, Literal

from halluc.config import BASELINE
from halluc.errors import UserError
from halluc.leaderboard.board import Value, judged_metrics
from halluc.leaderboard.formatting import better, interval, labels, with_arrow
from halluc.leaderboard.markdown_tables import escaped
from halluc.plain_text import printable
from halluc.scoring.bootstrap import Interval

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from halluc.leaderboard.board import Board, Gap, Row

CONTROL = "apc"
"""The plausibility constraint alone, which most contrastive methods come with."""

Verdict = Literal[
    "survives", "shorter only", "sampling only", "sampling, as its control", "worse", "undecided"
]
RULES = (
    "**survives**: under greedy decoding better than the greedy baseline, significant among all "
    "tests of the board (Holm, .05), and for descriptions better at equal length, too (95% "
    "interval); **shorter only**: the same, but not at equal length; **sampling only**: nothing "
    "decided under greedy decoding, but better than the sampled baseline, and than the control; "
    f"**sampling, as its control**: the same, but not better than {CONTROL}, which cuts unlikely "
    "tokens and knows nothing of the image; **worse**: significantly worse under greedy decoding; "
    "**undecided**: all else."
)


@dataclass(frozen=True)
class Gains:
    """What one method gains by one metric on one model, ours minus theirs.

    Attributes:
        greedy: Over the greedy baseline, greedy; `same_length` with descriptions cut.
        sampled: Over the sampled baseline, sampled: the mean over seeds.
        over_control: Of that, what is more than the control's.
        value: The metric, for its direction and scale.
    """

    greedy: Gap | None
    same_length: Gap | None
    sampled: Interval | None
    over_control: Interval | None
    value: Value

    @property
    def verdict(self) -> Verdict:
        """What is left of the gain, by `RULES`."""
        decided = None if self.greedy is None else better(self.greedy, self.value)
        if decided is False:
            return "worse"
        if decided:
            kept = self.same_length is None or self._better(self.same_length)
            return "survives" if kept else "shorter only"
        if self.sampled is None or not self._better(self.sampled):
            return "undecided"
        more = self.over_control is not None and self._better(self.over_control)
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


def apart(ours: Interval, theirs: Interval) -> Interval:
    """Subtract two differences to one baseline; as if they were not paired, which is cautious."""
    return _normal(ours.value - theirs.value, (ours.stderr**2 + theirs.stderr**2) ** 0.5)


def _normal(value: float, stderr: float) -> Interval:
    return Interval(value, value - 1.96 * stderr, value + 1.96 * stderr, stderr)


def gains(rows: Sequence[Row], metric: str) -> dict[str, Gains]:
    """Gather what each method gains, from the rows of one benchmark and model.

    Args:
        rows: Greedy ones and sampled ones of any number of seeds, each with its baseline.
    """
    greedy, drawn = _by_method(rows, sampled=False), _by_method(rows, sampled=True)
    sampled = {
        name: over_seeds(known)
        for name, runs in drawn.items()
        if (known := [run.differences[metric] for run in runs if metric in run.differences])
    }
    control = sampled.get(CONTROL)
    value = rows[0].metrics[metric]
    found = {}
    for name in dict.fromkeys((*greedy, *drawn)):
        row = greedy.get(name, [None])[0]
        mine = sampled.get(name)
        found[name] = Gains(
            greedy=row.differences.get(metric) if row else None,
            same_length=row.same_length.get(metric) if row else None,
            sampled=mine,
            over_control=apart(mine, control) if mine and control and name != CONTROL else None,
            value=value,
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


def findings(board: Board, metrics: Mapping[str, str] | None = None) -> str:
    """Return, as markdown, what is left of each method's gain: all models, then each.

    Args:
        metrics: A benchmark's name to the metric that counts; by default its first with a better
            direction.

    Raises:
        UserError: If a metric is not one of the benchmark's.
    """
    groups: dict[str, dict[str, list[Row]]] = {}
    for row in board.rows:
        groups.setdefault(row.benchmark, {}).setdefault(row.model, []).append(row)
    parts = [RULES]
    for benchmark, models in groups.items():
        first = next(iter(models.values()))[0]
        metric = (metrics or {}).get(benchmark) or judged_metrics(first)[0]
        if metric not in first.metrics:
            raise UserError(f"{benchmark}: has no metric {metric!r}: {', '.join(first.metrics)}")
        found = {model: gains(rows, metric) for model, rows in models.items()}
        value = first.metrics[metric]
        name = escaped(printable(f"{benchmark}, {with_arrow(metric, value.higher_is_better)}"))
        parts.append("\n".join(_summary(name, found)))
        for model, rows in models.items():
            alone = greedy_alone(rows, metric)
            title = f"**{name} on {escaped(printable(model))}**"
            parts.append("\n".join(_table(title, found[model], alone, value)))
    return "\n\n".join(parts)


def _summary(name: str, found: Mapping[str, Mapping[str, Gains]]) -> Iterator[str]:
    yield f"## {name}\n"
    yield f"| method | {' | '.join(escaped(printable(model)) for model in found)} |"
    yield "|---" * (1 + len(found)) + "|"
    for method in dict.fromkeys(method for methods in found.values() for method in methods):
        cells = (
            methods[method].verdict if method in methods else "-" for methods in found.values()
        )
        yield f"| {escaped(method)} | {' | '.join(cells)} |"


def _table(
    title: str, found: Mapping[str, Gains], alone: Interval | None, value: Value
) -> Iterator[str]:
    yield f"{title}\n"
    heads = ("sampled, over sampling", "over the control", "greedy, over greedy", "at equal length")
    yield f"| method | {' | '.join(heads)} | verdict |\n{'|---' * 6}|"
    if alone is not None:
        yield f"| *greedy decoding alone* | {interval(alone, value.scale, '+')} | | | | |"
    for method, gain in found.items():
        parts = (gain.sampled, gain.over_control, gain.greedy, gain.same_length)
        cells = ("-" if part is None else interval(part, value.scale, "+") for part in parts)
        yield f"| {escaped(method)} | {' | '.join(cells)} | {gain.verdict} |"
