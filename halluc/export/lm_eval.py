"""lm-evaluation-harness' files: results_<date>.json and samples_<task>_<date>.jsonl.

As its EvaluationTracker writes them (lm_eval/loggers/evaluation_tracker.py and result_schema.py at
4e7e0d4). Its readers take the newest file of a model's folder, so a method is part of the model's
name. "right" is added to the metrics where answers are right or wrong: the one value that samples
hold too. Its standard error is clustered by image by lmms-eval's formula; others are bootstrapped.
"""

from __future__ import annotations

import hashlib
import json
import re
from itertools import groupby
from typing import TYPE_CHECKING, Any

from halluc.config import BASELINE
from halluc.data.records import finite
from halluc.export.exported_run import as_text, conversation
from halluc.statistics import clustered_stderr

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from halluc.config import BASELINE
from halluc.export.exported_run import Exported

RIGHT = "right"


def write(parts: Sequence[Exported], output: Path) -> Iterator[Path]:
    """Write a folder a model and method; yield the files."""
    for _, group in groupby(parts, key=lambda part: part.run.path):
        run = list(group)
        name = _model_name(run[0])
        folder = output / _sanitized(name)
        folder.mkdir(parents=True, exist_ok=True)
        date = run[0].date.replace(tzinfo=None).isoformat().replace(":", "-")
        samples = {part.row.benchmark: list(_samples(part)) for part in run}
        file = folder / f"results_{date}.json"
        file.write_text(json.dumps(finite(_results(run, name, samples)), indent=2) + "\n")
        yield file
        for task, lines in samples.items():
            file = folder / f"samples_{task}_{date}.jsonl"
            file.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
            yield file


def _model_name(part: Exported) -> str:
    row = part.row
    return (
        row.model
        if not row.method_args and row.method == BASELINE
        else (f"{row.model}+{row.method}-{row.config_hash}")
    )


def _sanitized(name: str) -> str:
    return re.sub(r'["<>:/|\\?*\[\]]+', "__", name)


def _results(
    run: Sequence[Exported], name: str, samples: dict[str, list[dict[str, Any]]]
) -> dict[str, Any]:
    results = {key: value for key, value in run[0].results.items() if key != "halluc"}
    config = {**results["config"], "model": "halluc"}
    config["model_args"] = {"pretrained": run[0].row.model, **results["config"]["model_args"]}
    hashes = {
        task: _hash("".join(s["doc_hash"] + s["prompt_hash"] + s["target_hash"] for s in lines))
        for task, lines in samples.items()
    }
    return {
        **results,
        "results": {
            part.row.benchmark: {
                "name": part.row.benchmark,
                "sample_len": part.row.n,
                **_numbers(results["results"][part.row.benchmark]),
                **_right(part),
            }
            for part in run
        },
        "higher_is_better": {
            task: {**metrics, RIGHT: True} for task, metrics in results["higher_is_better"].items()
        },
        "group_subtasks": {part.row.benchmark: [] for part in run},
        "config": config,
        "pretty_env_info": "\n".join(f"{k}: {v}" for k, v in results["pretty_env_info"].items()),
        "task_hashes": hashes,
        "model_source": "halluc",
        "model_name": name,
        "model_name_sanitized": _sanitized(name),
        "total_evaluation_time_seconds": str(results["total_evaluation_time_seconds"]),
    }


def _numbers(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return the metrics that are defined, with "N/A" for a standard error that is not."""
    missing = {key for key, value in metrics.items() if value is None and "_stderr," not in key}
    gone = missing | {key.replace(",", "_stderr,") for key in missing}
    return {
        key: "N/A" if value is None else value for key, value in metrics.items() if key not in gone
    }


def _right(part: Exported) -> dict[str, float]:
    judged = [(a, right) for a in part.answers if (right := part.benchmark.right(a)) is not None]
    if len(judged) < 2:
        return {}
    values = [float(right) for _, right in judged]
    images = [part.benchmark.cluster(answer) for answer, _ in judged]
    return {
        f"{RIGHT},none": sum(values) / len(values),
        f"{RIGHT}_stderr,none": clustered_stderr(values, images, "lmms-eval"),
    }


def _samples(part: Exported) -> Iterator[dict[str, Any]]:
    """Yield a line an answer; `doc` holds what the benchmark asked, the image by its name."""
    for number, answer in enumerate(part.answers):
        right = part.benchmark.right(answer)
        doc = {
            "id": answer.id,
            "image": answer.image_id,
            "question": answer.prompt,
            "group": answer.group,
            "target": answer.target,
        }
        yield {
            "doc_id": number,
            "doc": doc,
            "target": as_text(answer.target),
            "arguments": {
                "gen_args_0": {"arg_0": conversation(answer), "arg_1": dict(part.row.decoding)}
            },
            "resps": [[answer.text]],
            "filtered_resps": [answer.text],
            "filter": "none",
            "metrics": [] if right is None else [RIGHT],
            "doc_hash": _hash(json.dumps(doc, indent=2, ensure_ascii=False)),
            "prompt_hash": _hash(conversation(answer)),
            "target_hash": _hash(as_text(answer.target)),
            **({} if right is None else {RIGHT: float(right)}),
        }


def _hash(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()
