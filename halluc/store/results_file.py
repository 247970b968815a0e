"""The results file: lm-evaluation-harness' layout, so that its readers work, and ours in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from halluc.config import RunConfig
    from halluc.scoring.base import Benchmark
    from halluc.scoring.scores import Scores
    from halluc.store.run_folder import Cost


def results(
    config: RunConfig,
    benchmarks: Sequence[Benchmark],
    scores: Mapping[str, Scores],
    costs: Mapping[str, Cost],
    logits: Mapping[str, Any],
    where: Mapping[str, Any],
) -> dict[str, Any]:
    """Put together the results of a run.

    The keys up to "total_evaluation_time_seconds" are lm-evaluation-harness' own
    (lm_eval/result_schema.py); "halluc" holds intervals, counts and cost.
    """
    names = [benchmark.name for benchmark in benchmarks]
    return {
        "results": {name: _metrics(name, scores[name]) for name in names},
        "configs": {b.name: _card(b) for b in benchmarks},
        "versions": {b.name: b.card.version for b in benchmarks},
        "n-shot": dict.fromkeys(names, 0),
        "higher_is_better": {
            b.name: {m.name: m.higher_is_better for m in b.card.metrics} for b in benchmarks
        },
        "n-samples": {
            name: {"original": scores[name].n + scores[name].failed, "effective": scores[name].n}
            for name in names
        },
        "config": {
            "model": config.model.name,
            "model_args": config.model.model_dump(exclude={"name"}),
            "model_dtype": config.model.dtype,
            "model_revision": config.model.revision,
            "method": config.method.name,
            "method_args": config.method.resolved,
            "batch_size": config.batch_size,
            "device": config.model.device,
            "limit": config.limit,
            "gen_kwargs": config.decoding.model_dump(),
            "random_seed": config.decoding.seed,
        },
        "git_hash": where.get("git_hash"),
        "date": datetime.now(UTC).timestamp(),
        "transformers_version": config.versions.get("transformers"),
        "pretty_env_info": dict(where),
        "total_evaluation_time_seconds": sum(cost.seconds for cost in costs.values()),
        "halluc": {
            "hash": config.hash,
            "versions": config.versions,
            "scores": {name: asdict(scores[name]) for name in names},
            "logits": dict(logits),
            "notes": {benchmark.name: benchmark.notes for benchmark in benchmarks},
            "cost": {name: asdict(costs[name]) for name in names},
        },
    }


def _metrics(name: str, scores: Scores) -> dict[str, Any]:
    """Metrics as "metric,filter"; the standard error is the bootstrap's, from the interval."""
    row: dict[str, Any] = {"alias": name}
    for metric, interval in scores.values.items():
        row[f"{metric},none"] = interval.value
        row[f"{metric}_stderr,none"] = interval.stderr
    return row


def _card(benchmark: Benchmark) -> dict[str, Any]:
    card = benchmark.card
    return {
        "task": benchmark.name,
        "dataset_path": card.dataset,
        "dataset_revision": benchmark.revision,
        "output_type": "generate_until",
        "metadata": {"title": card.title, "paper": card.paper, "licence": card.licence},
    }
