"""A board: every finished run under some folders, each beside its greedy baseline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from halluc.config import MethodConfig, RunConfig
from halluc.errors import UserError
from halluc.scoring.options import build
from halluc.scoring.score import difference
from halluc.store import RunFolder
from halluc.store.folder import finite

SCHEMA_VERSION = 1
BASELINE = "greedy"


class Value(BaseModel):
    """A number with its 95% interval, resampled by image; None where it is undefined."""

    model_config = ConfigDict(extra="forbid")

    value: float | None
    low: float | None
    high: float | None
    stderr: float | None = None


class Row(BaseModel):
    """One run on one benchmark.

    Attributes:
        hash: The run's configuration, method and versions included.
        baseline: Hash of the run without a method that `differences` compare with; None if there
            is none beside it, or it is the baseline itself.
        metrics: A metric's name to its value, in the benchmark's order.
        differences: The run minus its baseline, on the samples both answered.
        cost: Sums over answers: forward passes, tokens, seconds; peak memory in bytes.
    """

    model_config = ConfigDict(extra="forbid")

    model: str
    revision: str | None
    dtype: str
    device: str
    method: str
    method_args: dict[str, Any]
    benchmark: str
    dataset: str
    dataset_revision: str
    decoding: dict[str, Any]
    batch_size: int | None
    limit: int | None
    benchmark_args: dict[str, Any]
    versions: dict[str, str]
    hash: str
    baseline: str | None
    n: int
    n_images: int
    failed: int
    unparseable: int
    metrics: dict[str, Value]
    differences: dict[str, Value]
    higher_is_better: dict[str, bool | None]
    cost: dict[str, float]


class Board(BaseModel):
    """What `halluc leaderboard` writes."""

    model_config = ConfigDict(extra="forbid")

    schema_version: int = SCHEMA_VERSION
    rows: list[Row]


def settings(board: Board) -> list[list[Row]]:
    """Rows that belong in one table: of one benchmark, model and baseline."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in board.rows:
        groups.setdefault((row.benchmark, row.model, row.baseline or row.hash), []).append(row)
    return list(groups.values())


def collect(folders: Iterable[str | Path]) -> Board:
    """Read every finished run below some folders.

    Args:
        folders: Run folders, or folders of run folders.

    Raises:
        UserError: If a folder does not exist, or none of them holds a finished run.
    """
    runs = {run.path: run for folder in folders for run in _runs(Path(folder))}
    finished = {path: found for path, run in runs.items() if (found := run.results()) is not None}
    if not finished:
        raise UserError(
            f"no finished run in {', '.join(map(str, folders))}; 'halluc eval' makes one"
        )
    latest = {runs[path].config.hash: runs[path] for path in sorted(finished)}
    rows = [
        _row(run, name, finished[run.path]["halluc"], _baseline(run, latest))
        for run in latest.values()
        for name in run.config.benchmarks
    ]
    rows.sort(
        key=lambda row: (row.benchmark, row.model, row.method != BASELINE, row.method, row.hash)
    )
    return Board(rows=rows)


def _runs(folder: Path) -> Iterator[RunFolder]:
    if not folder.is_dir():
        raise UserError(f"no folder {str(folder)!r}; give the --output-dir of an evaluation")
    configs = [folder / "config.json"] if (folder / "config.json").is_file() else None
    for config in configs or sorted(folder.glob("*/config.json")):
        yield RunFolder.read(config.parent)


def _baseline(run: RunFolder, runs: dict[str, RunFolder]) -> RunFolder | None:
    """The finished greedy run that differs from this one in its method alone."""
    if run.config.method.name == BASELINE:
        return None
    wanted = _without_method(run.config)
    matches = (other for other in runs.values() if other.config.method.name == BASELINE)
    return next((other for other in matches if _without_method(other.config) == wanted), None)


def _without_method(config: RunConfig) -> RunConfig:
    return config.model_copy(update={"method": MethodConfig()})


def _row(run: RunFolder, name: str, found: dict[str, Any], baseline: RunFolder | None) -> Row:
    config = run.config
    benchmark = build(name, config.benchmark_args.get(name))
    scores = found["scores"][name]
    differences = {}
    if baseline is not None:
        pairs = difference(benchmark, run.answers(name), baseline.answers(name))
        differences = {metric: _value(vars(interval)) for metric, interval in pairs.items()}
    return Row(
        model=config.model.name,
        revision=config.model.revision,
        dtype=config.model.dtype,
        device=config.model.device,
        method=config.method.name,
        method_args=config.method.resolved,
        benchmark=name,
        dataset=benchmark.card.dataset,
        dataset_revision=benchmark.card.revision,
        decoding=config.decoding.model_dump(),
        batch_size=config.batch_size,
        limit=config.limit,
        benchmark_args=config.benchmark_args.get(name, {}),
        versions=config.versions,
        hash=config.hash,
        baseline=baseline.config.hash if baseline else None,
        n=scores["n"],
        n_images=scores["n_images"],
        failed=scores["failed"],
        unparseable=scores["unparseable"],
        metrics={metric: _value(value) for metric, value in scores["values"].items()},
        differences=differences,
        higher_is_better={m.name: m.higher_is_better for m in benchmark.card.metrics},
        cost=found["cost"][name],
    )


def _value(interval: dict[str, Any]) -> Value:
    return Value(**finite(dict(interval)))
