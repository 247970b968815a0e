"""What is left of each method's gain, as markdown: a page, and a table of verdicts alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from halluc.errors import UserError
from halluc.leaderboard.board import judged_metrics
from halluc.leaderboard.building_rows import CONTROL, CONTROLS
from halluc.leaderboard.formatting import interval, with_arrow
from halluc.leaderboard.markdown_tables import escaped
from halluc.leaderboard.surviving_gains import UNDECIDED, VERDICTS, gains, greedy_alone
from halluc.plain_text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from halluc.leaderboard.board import Board, Gap, Row, Value
    from halluc.leaderboard.surviving_gains import Gains, Over
    from halluc.scoring.bootstrap import Interval

_LEANING = [name for name in CONTROLS["yes_no"] if name != CONTROL]

RULES = (
    "**survives**: under greedy decoding better than the greedy baseline, significant among all "
    "tests of the board (Holm, .05), and for descriptions better at equal length, too (95% "
    "interval); **shorter only**: the same, but not at equal length; **as a control**: the same, "
    "but a control is not beaten (95% interval), or it is one; **sampling only**: nothing decided "
    "under greedy decoding, but better than the sampled baseline, and than the controls; "
    "**sampling, as its control**: the same, but a control is not beaten; **worse**: significantly "
    "worse under greedy decoding; **undecided**: all else, which is not refuted. Controls know "
    f"nothing of the image: {CONTROL} cuts unlikely tokens when sampling, "
    f"{' and '.join(_LEANING)} lean towards yes (yes/no questions). All pairs are compared image "
    "by image."
)


class Judged(NamedTuple):
    """What methods gain on one benchmark by the metric that counts.

    Attributes:
        name: Benchmark and metric, with an arrow.
        metric: The metric's own name.
        value: It, for its scale.
        rows: A model's name to its rows.
        found: A model's name to what each method gains.
    """

    name: str
    metric: str
    value: Value
    rows: dict[str, list[Row]]
    found: dict[str, dict[str, Gains]]


def judged(board: Board, metrics: Mapping[str, str] | None = None) -> Iterator[Judged]:
    """Yield what methods gain, benchmark by benchmark.

    Rows of published answers are left out: one decoding of one seed says nothing of the other.

    Args:
        metrics: A benchmark's name to the metric that counts; by default its first with a better
            direction.

    Raises:
        UserError: If a metric is not one of the benchmark's.
    """
    groups: dict[str, dict[str, list[Row]]] = {}
    for row in (row for row in board.rows if row.record is None):
        groups.setdefault(row.benchmark, {}).setdefault(row.model, []).append(row)
    for benchmark, models in groups.items():
        first = next(iter(models.values()))[0]
        metric = (metrics or {}).get(benchmark) or judged_metrics(first)[0]
        if metric not in first.metrics:
            raise UserError(f"{benchmark}: has no metric {metric!r}: {', '.join(first.metrics)}")
        value = first.metrics[metric]
        name = escaped(printable(f"{benchmark}, {with_arrow(metric, value.higher_is_better)}"))
        found = {model: gains(rows, metric) for model, rows in models.items()}
        yield Judged(name, metric, value, models, found)


def findings(board: Board, metrics: Mapping[str, str] | None = None) -> str:
    """Return, as markdown, what is left of each method's gain: all models, then each.

    Args:
        metrics: As `judged` takes them.

    Raises:
        UserError: If a metric is not one of the benchmark's.
    """
    parts = [f"{RULES} {_tests(board)}"]
    for one in judged(board, metrics):
        parts.append("\n".join((f"## {one.name}\n", *_verdicts(one))))
        for model, rows in one.rows.items():
            alone = greedy_alone(rows, one.metric)
            title = f"**{one.name} on {escaped(printable(model))}**"
            parts.append("\n".join(_table(title, one.found[model], alone, one.value)))
    return "\n\n".join(parts)


def verdicts(board: Board, metrics: Mapping[str, str] | None = None) -> str:
    """Return, as markdown, one small table: a row a verdict, and the methods it is true of.

    Models are named behind a method where the verdict is not that of all models.

    Args:
        metrics: As `judged` takes them; of those named only the benchmarks that are named.

    Raises:
        UserError: If a metric is not one of the benchmark's.
    """
    kept = [row for row in board.rows if not metrics or row.benchmark in metrics]
    judgements = list(judged(board.model_copy(update={"rows": kept}), metrics))
    lines = [f"{RULES} {_tests(board)}", "", f"| | {' | '.join(one.name for one in judgements)} |"]
    lines.append("|---" * (1 + len(judgements)) + "|")
    for verdict in VERDICTS:
        named = [_of_verdict(one, verdict) for one in judgements]
        if verdict != UNDECIDED and any(named):
            cells = (", ".join(names) or "-" for names in named)
            lines.append(f"| {_said(verdict)} | {' | '.join(cells)} |")
    return "\n".join((*lines, "", "All that is not named is undecided."))


def _tests(board: Board) -> str:
    """Say among how many tests a difference has to be significant."""
    gaps = (gap for row in board.rows for gap in row.differences.values())
    return f"The board has {sum(gap.holm is not None for gap in gaps):,} tests."


def _of_verdict(one: Judged, verdict: str) -> list[str]:
    """List the methods of a verdict, with the models where it is not that of all."""
    models: dict[str, list[str]] = {}
    for model, found in one.found.items():
        for method, gain in found.items():
            if gain.verdict == verdict:
                models.setdefault(method, []).append(model)
    return [
        escaped(printable(method if len(on) == len(one.found) else f"{method} ({', '.join(on)})"))
        for method, on in sorted(models.items())
    ]


def _verdicts(one: Judged) -> Iterator[str]:
    """Yield a table: a row a method, a column a model."""
    yield f"| method | {' | '.join(escaped(printable(model)) for model in one.found)} |"
    yield "|---" * (1 + len(one.found)) + "|"
    for method in sorted({method for found in one.found.values() for method in found}):
        gains_of = (found.get(method) for found in one.found.values())
        cells = ("-" if gain is None else _said(gain.verdict) for gain in gains_of)
        yield f"| {escaped(method)} | {' | '.join(cells)} |"


def _said(verdict: str) -> str:
    return f"**{verdict}**" if verdict == "survives" else verdict


def _table(
    title: str, found: Mapping[str, Gains], alone: Interval | None, value: Value
) -> Iterator[str]:
    yield f"{title}\n"
    least = "over its strongest control"
    heads = ("greedy, over greedy", "at equal length", least, "sampled, over sampling", least)
    yield f"| method | {' | '.join(heads)} | verdict |\n{'|---' * 7}|"
    if alone is not None:
        yield f"| *greedy decoding alone* | | | | {interval(alone, value.scale, '+')} | | |"

    def shown(gap: Gap | Interval | None) -> str:
        return "-" if gap is None else interval(gap, value.scale, "+")

    def over(one: Over | None) -> str:
        return "-" if one is None else f"{shown(one.gap)} ({one.control})"

    for method, gain in found.items():
        greedy = (shown(gain.greedy), shown(gain.same_length), over(gain.greedy_control))
        cells = (*greedy, shown(gain.sampled), over(gain.sampled_control), gain.verdict)
        yield f"| {escaped(method)} | {' | '.join(cells)} |"
