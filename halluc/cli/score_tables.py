"""What `halluc score` prints, and the scores of a run folder."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from halluc.errors import UserError
from halluc.scoring.building import build, taken
from halluc.scoring.pope.relabelling import label_files
from halluc.scoring.rescoring import score_answers
from halluc.store import RunFolder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from rich.console import Group
    from rich.table import Table

ALL = "all"
"""The value of `--protocol` that stands for every protocol of a benchmark."""


def score_run(
    path: Path, options: Mapping[str, Any], only: str | None = None, labels: Sequence[str] = ()
) -> dict[str, Any]:
    """Score a run's stored answers under one protocol, or side by side under all.

    Args:
        options: Options of `build` that replace the run's own, each for the benchmarks that take
            it; the protocol may be "all".
        only: The one benchmark to score.
        labels: Label files for POPE's answers, see `halluc.scoring.pope.relabelling.label_files`.

    Returns:
        A benchmark's name to what `halluc.scoring.rescoring.score_answers` returns.

    Raises:
        UserError: If there is no such run or protocol, or an option or label file fits nothing.
    """
    run = RunFolder.read(path)
    names = [name for name in run.config.benchmarks if only in (None, name)]
    if not names:
        raise UserError(f"{path}: has no {only!r}, only {', '.join(run.config.benchmarks)}")
    for key in options:
        if not any(key in taken(name) for name in names):
            raise UserError(f"{', '.join(names)}: takes no {key!r}")
    files = label_files(labels)
    scores = {}
    for name in names:
        typed = {key: value for key, value in options.items() if key in taken(name)}
        all_protocols = typed.get("protocol") == ALL
        if all_protocols:
            del typed["protocol"]
        benchmark = build(name, run.config.benchmark_args.get(name, {}) | typed)
        if run.results() is None:
            benchmark.notes.append("the run has no results yet: some answers may be missing")
        scores[name] = score_answers(benchmark, list(run.answers(name)), all_protocols, files)
    if files and not any("labels" in part for part in scores.values()):
        raise UserError(f"{', '.join(names)}: takes no other labels; POPE on photographs does")
    return scores


def tables(scores: Mapping[str, Any]) -> Iterator[Group]:
    """Yield a table for each benchmark, with a column for each protocol, and its notes.

    Args:
        scores: Of `score_run`, or of `halluc.scoring.rescoring.score_answers_file`.
    """
    if "metrics" in scores:
        yield _file_table(scores)
        return
    for name, benchmark_scores in scores.items():
        protocols = benchmark_scores["protocols"]
        first = next(iter(protocols.values()))
        table = _table(protocols)
        for metric in first["values"]:
            cells = (protocols[key]["values"].get(metric, {}).get("value") for key in protocols)
            table.add_row(metric, *map(_number, cells))
        table.add_row("unparseable", *(str(protocols[key]["unparseable"]) for key in protocols))
        title = f"{name}, {first['n']} answers"
        if "labels" in benchmark_scores:
            title += f", labels of {', '.join(benchmark_scores['labels'].values())}"
        yield _titled(title, table, benchmark_scores["notes"])


def _file_table(scores: Mapping[str, Any]) -> Group:
    table = _table([scores["protocol"]])
    for metric, value in scores["metrics"].items():
        parts = value if isinstance(value, dict) else {"": value}
        for part, number in parts.items():
            table.add_row(f"{metric}/{part}".rstrip("/"), _number(number))
    table.add_row("unparseable", str(scores["unparseable"]))
    return _titled(f"{scores['benchmark']}, {scores['n']} answers", table, scores["notes"])


def _table(protocols: Iterable[str]) -> Table:
    from rich.table import Table

    table = Table("")
    for protocol in protocols:
        table.add_column(protocol, justify="right")
    return table


def _titled(title: str, table: Table, notes: Sequence[str]) -> Group:
    from rich.console import Group
    from rich.text import Text

    return Group(Text(title, style="italic"), table, *map(Text, notes))


def _number(value: Any) -> str:
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.4f}"
    return "-" if value is None else str(value)
