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
from halluc.files import write_json
from halluc.lines_file import write_lines
from halluc.scoring.thinking import strip
from halluc.statistics import clustered_stderr

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from halluc.export.exported_run import Exported

RIGHT = "right"


def write(parts: Sequence[Exported], output: Path) -> Iterator[Path]:
    """Write a folder a model and method; yield the files."""
    for _, group in groupby(parts, key=lambda part: part.scored.run.path):
        run = list(group)
        name = _model_name(run[0])
        folder = output / _sanitized(name)
        folder.mkdir(parents=True, exist_ok=True)
        date = run[0].date.replace(tzinfo=None).isoformat().replace(":", "-")
        samples = {part.task: list(_samples(part)) for part in run}
        file = folder / f"results_{date}.json"
        write_json(file, finite(_results(run, name, samples)))
        yield file
        for task, lines in samples.items():
            file = folder / f"samples_{task}_{date}.jsonl"
            write_lines(file, lines)
            yield file


def _model_name(part: Exported) -> str:
    row = part.row
    return (
        row.model
        if not row.method_args and row.method == BASELINE
        else (f"{row.model}+{row.method}-{row.asker}")
    )


def _sanitized(name: str) -> str:
    return re.sub(r'["<>:/|\\?*\[\]]+', "__", name)


def _results(
    run: Sequence[Exported], name: str, samples: dict[str, list[dict[str, Any]]]
) -> dict[str, Any]:
    first, names = run[0], [part.task for part in run]
    asker, where = first.scored.run.asker, first.scored.scores.where
    model = asker.model.model_dump(exclude={"name"})
    hashes = {
        task: _hash("".join(s["doc_hash"] + s["prompt_hash"] + s["target_hash"] for s in lines))
        for task, lines in samples.items()
    }
    return {
        "results": {
            part.task: {
                "name": part.task,
                "alias": part.task,
                "sample_len": part.row.n,
                **_numbers(part),
                **_right(part),
            }
            for part in run
        },
        "configs": {part.task: _task(part) for part in run},
        "versions": {part.task: part.row.version for part in run},
        "n-shot": dict.fromkeys(names, 0),
        "higher_is_better": {
            part.task: {
                **{n: value.higher_is_better for n, value in part.row.metrics.items()},
                RIGHT: True,
            }
            for part in run
        },
        "n-samples": {
            p.task: {"original": p.row.n + p.row.failed, "effective": p.row.n} for p in run
        },
        "group_subtasks": {name: [] for name in names},
        "config": {
            "model": "halluc",
            "model_args": {"pretrained": first.row.model, **model},
            "model_dtype": first.row.dtype,
            "model_revision": first.row.revision,
            "method": first.row.method,
            "method_args": first.row.method_args,
            "device": first.row.device,
            "limit": first.row.limit,
            "gen_kwargs": first.row.decoding,
            "random_seed": asker.decoding.seed,
        },
        "git_hash": where.get("git_hash"),
        "date": first.date.timestamp(),
        "transformers_version": first.row.versions.get("transformers"),
        "pretty_env_info": "\n".join(f"{key}: {value}" for key, value in where.items()),
        "task_hashes": hashes,
        "model_source": "halluc",
        "model_name": name,
        "model_name_sanitized": _sanitized(name),
        "total_evaluation_time_seconds": str(sum(part.row.cost["seconds"] for part in run)),
    }


def _task(part: Exported) -> dict[str, Any]:
    row = part.row
    return {
        "task": part.task,
        "dataset_path": row.dataset,
        "dataset_revision": row.dataset_revision,
        "output_type": "generate_until",
        "metadata": {"protocol": row.protocol, "wording": row.prompt, "judge": row.judge},
    }


def _numbers(part: Exported) -> dict[str, Any]:
    """Return the metrics that are defined, with "N/A" for a standard error that is not."""
    numbers: dict[str, Any] = {}
    for name, value in part.row.metrics.items():
        if value.value is not None:
            numbers[f"{name},none"] = value.value
            numbers[f"{name}_stderr,none"] = "N/A" if value.stderr is None else value.stderr
    return numbers


def _right(part: Exported) -> dict[str, float]:
    judged = [reading for reading in part.readings if reading.right is not None]
    if len(judged) < 2:
        return {}
    values = [float(bool(reading.right)) for reading in judged]
    images = [reading.image for reading in judged]
    return {
        f"{RIGHT},none": sum(values) / len(values),
        f"{RIGHT}_stderr,none": clustered_stderr(values, images, "lmms-eval"),
    }


def _samples(part: Exported) -> Iterator[dict[str, Any]]:
    """Yield a line an answer; `doc` holds what the benchmark asked, the image by its name."""
    for number, (answer, _, right, _) in enumerate(part.readings):
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
            "filtered_resps": [strip(answer.text)],
            "filter": "none",
            "metrics": [] if right is None else [RIGHT],
            "doc_hash": _hash(json.dumps(doc, indent=2, ensure_ascii=False)),
            "prompt_hash": _hash(conversation(answer)),
            "target_hash": _hash(as_text(answer.target)),
            **({} if right is None else {RIGHT: float(right)}),
        }


def _hash(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()
