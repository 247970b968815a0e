"""What `halluc score` does: numbers from answers that are already there."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from halluc.scoring.logits import logit_scores
from halluc.scoring.official import OfficialFiles, plain, score_files
from halluc.scoring.options import build
from halluc.scoring.score import by_protocol, score
from halluc.store import RunFolder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from rich.table import Table

    from halluc.scoring.score import Scores

ALL = "all"


def of_run(path: Path, protocol: str) -> dict[str, Any]:
    """Score a run's stored answers under one protocol, or side by side under all.

    Returns:
        Benchmark to {"protocols": {protocol: scores}, "logits": scores from p(yes), if stored}.

    Raises:
        UserError: If there is no such run or protocol.
    """
    run = RunFolder.read(path)
    found: dict[str, Any] = {}
    for name in run.config.benchmarks:
        options = dict(run.config.benchmark_args.get(name, {}))
        if protocol not in (ALL, "official"):
            options["protocol"] = protocol
        benchmark, answers = build(name, options), list(run.answers(name))
        if protocol == ALL:
            scores = by_protocol(benchmark, answers)
        else:
            scores = {benchmark.protocol: score(benchmark, answers)}
        found[name] = {"protocols": {key: _plain(value) for key, value in scores.items()}}
        if benchmark.card.task == "yes_no" and (logits := logit_scores(answers)):
            found[name]["logits"] = plain(logits)
    return found


def of_files(
    name: str,
    options: Mapping[str, Any],
    answers: Path,
    labels: Path | None,
    ground_truth: Path | None,
) -> dict[str, Any]:
    """Score an answers file in a benchmark's official format.

    Raises:
        UserError: If anything about the files is wrong; names the line.
    """
    return score_files(build(name, options), OfficialFiles(answers, labels, ground_truth))


def tables(found: Mapping[str, Any]) -> Iterator[Table]:
    """The same for people: one table a benchmark, a column a protocol."""
    from rich.table import Table

    if "metrics" in found:
        title = f"{found['benchmark']}, protocol {found['protocol']}, {found['n']} answers"
        table = Table(title=title, title_justify="left")
        table.add_column("")
        table.add_column("official", justify="right")
        for key, value in found["metrics"].items():
            table.add_row(key, _number(value))
        table.add_row("unparseable", str(found["unparseable"]))
        yield table
        return
    for name, scores in found.items():
        protocols = scores["protocols"]
        table = Table("", *protocols, title=name, title_justify="left")
        for metric in next(iter(protocols.values()))["values"]:
            cells = (protocols[key]["values"].get(metric, {}).get("value") for key in protocols)
            table.add_row(metric, *map(_number, cells))
        table.add_row("unparseable", *(str(protocols[key]["unparseable"]) for key in protocols))
        yield table


def _plain(scores: Scores) -> Any:
    return plain(asdict(scores))


def _number(value: Any) -> str:
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.4f}"
    return "-" if value is None else str(value)
