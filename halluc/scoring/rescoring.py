"""What `halluc score` does: numbers from answers that are already there."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.benchmarks._pope import PopeBenchmark
from halluc.data.records import finite
from halluc.errors import UserError
from halluc.scoring.answer_files import AnswerFiles, score_files
from halluc.scoring.building import build, taken
from halluc.scoring.pope.answer_files import strategy_of
from halluc.scoring.pope.relabelling import NAME, label_files
from halluc.scoring.scores import by_protocol, score
from halluc.scoring.yes_probability import logit_scores
from halluc.store import RunFolder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rich.console import Group
    from rich.table import Table

ALL = "all"


def of_run(
    path: Path, options: Mapping[str, Any], only: str | None = None, labels: Sequence[str] = ()
) -> dict[str, Any]:
    """Score a run's stored answers under one protocol, or side by side under all.

    Args:
        options: Options of `build` that take the place of the run's own, each for the benchmarks
            that take it; the protocol may be "all".
        only: The one benchmark to score.
        labels: Label files for POPE's answers, see `halluc.scoring.pope.relabelling.label_files`.

    Returns:
        Benchmark to {"protocols": {protocol: scores}, "notes": what a reader has to know}; with
        "labels" where others than the run's own were used, and "logits", scores from p(yes), where
        the run stored them.

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
    found = {}
    for name in names:
        own = {key: value for key, value in options.items() if key in taken(name)}
        found[name] = _of_benchmark(run, name, own, files)
    if files and not any("labels" in scores for scores in found.values()):
        raise UserError(f"{', '.join(names)}: takes no other labels; POPE on photographs does")
    return found


def _of_benchmark(
    run: RunFolder, name: str, options: dict[str, Any], labels: Mapping[str, Path]
) -> dict[str, Any]:
    side_by_side = options.get("protocol") == ALL
    if side_by_side:
        del options["protocol"]
    benchmark = build(name, run.config.benchmark_args.get(name, {}) | options)
    answers, found = list(run.answers(name)), dict[str, Any]()
    if run.results() is None:
        benchmark.notes.append("the run has no results yet: some answers may be missing")
    if labels and isinstance(benchmark, PopeBenchmark):
        answers = benchmark.relabelled(answers, labels)
        found["labels"] = {split: path.name for split, path in labels.items()}
    if side_by_side:
        scores = by_protocol(benchmark, answers)
    else:
        scores = {benchmark.protocol: score(benchmark, answers)}
    found["protocols"] = {key: finite(asdict(value)) for key, value in scores.items()}
    if logits := logit_scores(benchmark, answers):
        found["logits"] = finite(logits)
    return {**found, "notes": benchmark.notes}


def of_files(
    name: str,
    options: Mapping[str, Any],
    answers: Path,
    labels: Sequence[str] = (),
    ground_truth: Path | None = None,
) -> dict[str, Any]:
    """Score an answers file in a benchmark's official format.

    Raises:
        UserError: If anything about the files is wrong; names the line.
    """
    if len(labels) > 1:
        raise UserError("--answers goes with one file of --labels")
    path = Path(labels[0]) if labels else None
    if path == Path(NAME):
        split = strategy_of(answers.name)
        if split is None:
            raise UserError(f"--labels {NAME}: {answers.name} says no split (random, popular, ...)")
        path = label_files(labels)[split]
    return score_files(build(name, options), AnswerFiles(answers, path, ground_truth))


def tables(found: Mapping[str, Any]) -> Iterator[Group]:
    """The same for people: one table a benchmark, a column a protocol, and what to know of it."""
    if "metrics" in found:
        table = _table([found["protocol"]])
        for key, value in found["metrics"].items():
            parts = value if isinstance(value, dict) else {"": value}
            for part, number in parts.items():
                table.add_row(f"{key}/{part}".rstrip("/"), _number(number))
        table.add_row("unparseable", str(found["unparseable"]))
        yield _titled(f"{found['benchmark']}, {found['n']} answers", table, found["notes"])
        return
    for name, scores in found.items():
        protocols = scores["protocols"]
        first = next(iter(protocols.values()))
        table = _table(protocols)
        for metric in first["values"]:
            cells = (protocols[key]["values"].get(metric, {}).get("value") for key in protocols)
            table.add_row(metric, *map(_number, cells))
        table.add_row("unparseable", *(str(protocols[key]["unparseable"]) for key in protocols))
        title = f"{name}, {first['n']} answers"
        if "labels" in scores:
            title += f", labels of {', '.join(scores['labels'].values())}"
        yield _titled(title, table, scores["notes"])


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
