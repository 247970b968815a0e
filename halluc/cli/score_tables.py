"""What `halluc score` prints."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from halluc.leaderboard.formatting import interval, number, with_arrow
from halluc.scoring.base import REGISTRY
from halluc.store.scores_file import MetricValue

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from halluc.store.rescoring_runs import Rescored


def as_json(found: Sequence[Rescored]) -> dict[str, Any]:
    """Describe rescored benchmarks as JSON can hold them.

    Returns:
        A benchmark's name to "protocols", a protocol's name to its scores, "notes", "labels" where
        other labels were used, and "probabilities" where there are any. Several sets of samples of
        one benchmark are told apart by their number of images.
    """
    described = {}
    for one in found:
        name, first = one.asked.benchmark, next(iter(one.scores.values()))
        if sum(other.asked.benchmark == name for other in found) > 1:
            name += f" on {first.n_images} images ({one.asked.key})"
        described[name] = {
            "protocols": {
                key: scores.model_dump(
                    include={"values", "n", "n_images", "failed", "unparseable", "totals"}
                )
                for key, scores in one.scores.items()
            },
            "notes": list(dict.fromkeys(n for s in one.scores.values() for n in s.notes)),
            **({"labels": first.scoring.labels} if first.scoring.labels else {}),
            **({"probabilities": first.probabilities} if first.probabilities else {}),
        }
    return described


def tables(scores: Mapping[str, Any], whose: str = "") -> Iterator[Group]:
    """Yield a table for each benchmark, with a column for each protocol, and its notes.

    Metrics are scaled as `halluc eval` shows them; of one protocol, with their 95% intervals.

    Args:
        scores: Of `as_json`, or of `halluc.scoring.rescoring.score_answers_file`.
        whose: What was scored.
    """
    of = f" of {whose}" * bool(whose)
    if "metrics" in scores:
        yield from _file_tables(scores, of)
        return
    for name, benchmark_scores in scores.items():
        protocols = benchmark_scores["protocols"]
        first = next(iter(protocols.values()))
        table = _table(protocols)
        for metric in first["values"]:
            found = [protocols[key]["values"].get(metric) for key in protocols]
            better = first["values"][metric]["higher_is_better"]
            cells = ["-" if one is None else _cell(one, len(found) == 1) for one in found]
            table.add_row(Text(with_arrow(metric, better)), *cells)
        table.add_row("unparseable", *(str(protocols[key]["unparseable"]) for key in protocols))
        title = f"{name}, {first['n']} answers{of}"
        if "labels" in benchmark_scores:
            title += f", other labels of {', '.join(benchmark_scores['labels'])}"
        yield _titled(title, table, benchmark_scores["notes"])


def _cell(found: Mapping[str, Any], alone: bool) -> str:
    value = MetricValue.model_validate(found)
    text = interval(value, value.scale) if alone else number(value.value, value.scale)
    return escape(text)


def _file_tables(scores: Mapping[str, Any], of: str) -> Iterator[Group]:
    """Yield our metrics with intervals, then what the authors' scorer prints, as it prints it."""
    ours = _table([scores["protocol"]])
    for metric in REGISTRY.get(scores["benchmark"]).card.metrics:
        if (found := scores["scores"].get(metric.name)) is not None:
            text = interval(SimpleNamespace(**found), metric.scale)
            ours.add_row(Text(with_arrow(metric.name, metric.higher_is_better)), escape(text))
    ours.add_row("unparseable", str(scores["unparseable"]))
    title = f"{scores['benchmark']}, {scores['n']} answers{of}"
    yield _titled(title, ours, scores["notes"])
    theirs = _table([scores["protocol"]])
    for name, value in scores["metrics"].items():
        parts = value if isinstance(value, dict) else {"": value}
        for part, figure in parts.items():
            theirs.add_row(f"{name}/{part}".rstrip("/"), _raw(figure))
    yield _titled("as the benchmark's own scorer prints it", theirs, ())


def _table(protocols: Iterable[str]) -> Table:
    table = Table()
    table.add_column("")
    for protocol in protocols:
        table.add_column(protocol, justify="right")
    return table


def _titled(title: str, table: Table, notes: Sequence[str]) -> Group:
    return Group(Text(title, style="italic"), table, *map(Text, notes))


def _raw(value: Any) -> str:
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.4f}"
    return "-" if value is None else str(value)
