"""From run folders to rows: every benchmark of every run, next to its baseline."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

from halluc.config import BASELINE, content_hash
from halluc.data.records import finite
from halluc.leaderboard.board import Gap, RightWrong, Row, Value
from halluc.scoring.building import PATHS, build
from halluc.statistics import compare

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from halluc.scoring.base import Benchmark
    from halluc.statistics import Comparison, Difference
    from halluc.store import RunFolder

LIBRARIES = ("torch", "transformers", "tokenizers", "pillow", "torchvision", "bitsandbytes")


class RunRow(NamedTuple):
    """A row, and the run it is computed from."""

    run: RunFolder
    row: Row


def rows_of(runs: Sequence[RunFolder]) -> Iterator[RunRow]:
    """Compute the rows of finished runs.

    A run's baseline is the one among them that used no method and is otherwise of its setting.

    Raises:
        UserError: If a run is half-written.
    """
    results = [(run, run.finished()) for run in runs]
    rows = [
        (run, _row(run, content, name))
        for run, content in results
        for name in run.config.benchmarks
    ]
    baselines = {row.setting: (run, row.key) for run, row in rows if row.method == BASELINE}
    for run, row in rows:
        if row.setting in baselines:
            baseline, row.baseline = baselines[row.setting]
            if row.method != BASELINE:
                benchmark = _benchmark(run, row.benchmark)
                comparison = compare(
                    benchmark, run.answers(row.benchmark), baseline.answers(row.benchmark)
                )
                row.differences = gaps_of(comparison.differences)
                row.same_length = gaps_of(comparison.same_length)
                row.right_wrong = right_wrong_of(comparison)
        yield RunRow(run, row)


def _row(run: RunFolder, results: Mapping[str, Any], name: str) -> Row:
    config, ours = run.config, results["halluc"]
    benchmark, versions = _benchmark(run, name), run.config.versions
    scores, described = ours["scores"][name], results["configs"][name]
    about = {
        "model": config.model.name,
        "revision": config.model.revision,
        "weights": versions.get("weights", ""),
        "dtype": config.model.dtype,
        "device": config.model.device,
        "quantization": config.model.quantization,
        "attn_implementation": config.model.attn_implementation,
        "image_processing": versions.get("image_processing", ""),
        "benchmark": name,
        "dataset": benchmark.card.dataset,
        "dataset_revision": described["dataset_revision"],
        "split": benchmark.split or benchmark.card.split,
        "limit": config.limit,
        "protocol": benchmark.protocol,
        "prompt": benchmark.prompt,
        "decoding": config.decoding.model_dump(),
        "batch_size": config.batch_size,
        "share": config.share,
        "harness": f"{versions.get('halluc', '')} {versions.get('source', '')}".strip(),
        "versions": {name: versions[name] for name in LIBRARIES if name in versions},
    }
    options = config.benchmark_args.get(name, {})
    settings = {key: value for key, value in options.items() if key not in PATHS}
    setting = content_hash([about, settings])
    method = {"method": config.method.name, "method_args": config.method.resolved}
    return Row(
        key=content_hash([setting, method]),
        setting=setting,
        baseline=None,
        run=run.path.name,
        config_hash=config.hash,
        **about,
        **method,
        n=scores["n"],
        n_images=scores["n_images"],
        failed=scores["failed"],
        unparseable=scores["unparseable"],
        metrics=_values(benchmark, scores["values"]),
        differences={},
        same_length={},
        right_wrong=None,
        cost=ours["cost"][name],
    )


def _benchmark(run: RunFolder, name: str) -> Benchmark:
    return build(name, run.config.benchmark_args.get(name))


def _values(benchmark: Benchmark, values: Mapping[str, Any]) -> dict[str, Value]:
    return {
        metric.name: Value(
            **finite(values[metric.name]),
            higher_is_better=metric.higher_is_better,
            headline=metric.headline,
            scale=metric.scale,
        )
        for metric in benchmark.card.metrics
        if metric.name in values
    }


def gaps_of(differences: Mapping[str, Difference]) -> dict[str, Gap]:
    """Turn differences into what boards hold."""
    return {name: Gap(**finite(asdict(gap))) for name, gap in differences.items()}


def right_wrong_of(comparison: Comparison) -> RightWrong | None:
    """Turn McNemar's test into what boards hold."""
    test = comparison.right_wrong
    return None if test is None else RightWrong(**finite(asdict(test)))
