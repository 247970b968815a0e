"""Every Eval Ever 0.3.0: data/<collection>/<developer>/<model>/<uuid>.json, samples next to it.

By its schemas eval.schema.json and instance_level_eval.schema.json (evaleval/every_eval_ever at
9bce413). The collection is the benchmark. The format has no place for an intervention, so the
method is put into the details of the generation, as text. Metrics without a better direction cannot
be results there; they are put into the details of those that can.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from halluc.export.every_eval_ever_samples import VERSION, sample_lines
from halluc.files import write_json, write_whole
from halluc.leaderboard.board import Statistics
from halluc.models.names import endpoint_name
from halluc.scoring.bootstrap import DRAWS, LEVEL

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from halluc.export.exported_run import Exported
    from halluc.leaderboard.board import Row, Value


def write(parts: Sequence[Exported], output: Path, organization: str) -> Iterator[Path]:
    """Write a file a run and benchmark, and its samples if they are right or wrong; yield them.

    Args:
        organization: Who ran the evaluation.
    """
    for part in parts:
        log = _log(part, organization)
        subfolder = f"data/{part.row.benchmark}/{log['model_info']['id']}"
        folder = output / subfolder
        folder.mkdir(parents=True, exist_ok=True)
        name = _uuid(part)
        lines = "".join(json.dumps(s, ensure_ascii=False) + "\n" for s in sample_lines(part, log))
        if lines:
            samples = folder / f"{name}_samples.jsonl"
            write_whole(samples, lines)
            log["detailed_evaluation_results"] = {
                "format": "jsonl",
                "file_path": f"{subfolder}/{samples.name}",
                "hash_algorithm": "sha256",
                "checksum": hashlib.sha256(lines.encode()).hexdigest(),
                "total_rows": lines.count("\n"),
            }
            yield samples
        file = folder / f"{name}.json"
        write_json(file, log)
        yield file


def _log(part: Exported, organization: str) -> dict[str, Any]:
    row, date, model = part.row, str(int(part.date.timestamp())), _model(part.row)
    return {
        "schema_version": VERSION,
        "evaluation_id": f"{row.benchmark}-{row.method}-{row.key}/{model['id']}/{date}",
        "evaluation_timestamp": date,
        "retrieved_timestamp": str(int(time.time())),
        "source_metadata": {
            "source_name": "halluc",
            "source_type": "evaluation_run",
            "source_organization_name": organization,
            "evaluator_relationship": "third_party",
        },
        "eval_library": {
            "name": "halluc",
            "version": part.version,
            "additional_details": {"engine": str(row.engine), **row.versions},
        },
        "model_info": model,
        "evaluation_results": [
            _result(part, name, value)
            for name, value in row.metrics.items()
            if value.value is not None and value.higher_is_better is not None
        ],
    }


def _result(part: Exported, name: str, value: Value) -> dict[str, Any]:
    row = part.row
    return {
        "evaluation_result_id": f"{row.key}/{name}",
        "evaluation_name": row.benchmark,
        "source_data": _source(part),
        "metric_config": {
            "metric_id": f"{row.benchmark}.{name}",
            "metric_name": name,
            "lower_is_better": not value.higher_is_better,
            **(_PROPORTION if value.scale == 100 else {}),
            "additional_details": {"protocol": row.protocol},
        },
        "score_details": {
            "score": value.value,
            "details": _details(row, name),
            "uncertainty": _uncertainty(row, value),
        },
        "generation_config": {
            "generation_args": _arguments(row.decoding),
            "additional_details": {
                "method": row.method,
                "method_args": json.dumps(row.method_args),
                "prompt_protocol": row.prompt,
                **{key: json.dumps(value) for key, value in row.decoding.items()},
            },
        },
    }


_PROPORTION = {
    "metric_unit": "proportion",
    "score_type": "continuous",
    "min_score": 0.0,
    "max_score": 1.0,
}


def _source(part: Exported) -> dict[str, Any]:
    row = part.row
    details = {"dataset": row.dataset, "revision": row.dataset_revision}
    if part.hub_dataset is None:
        return {
            "dataset_name": row.benchmark,
            "source_type": "other",
            "additional_details": details,
        }
    return {
        "dataset_name": row.benchmark,
        "source_type": "hf_dataset",
        "hf_repo": part.hub_dataset,
        "hf_split": row.split,
        "samples_number": row.n + row.failed,
        "sample_ids": [reading.answer.id for reading in part.readings],
        "additional_details": details,
    }


def _details(row: Row, name: str) -> dict[str, str]:
    """Return the difference to the baseline, and what else is reported with the score."""
    details = {"failed": str(row.failed), "unparseable": str(row.unparseable)}
    for other, value in row.metrics.items():
        if value.higher_is_better is None and value.value is not None:
            details[other] = f"{value.value:.6g}"
    for kind, gaps in (("to baseline", row.differences), ("at equal length", row.same_length)):
        if gap := gaps.get(name):
            details[f"difference {kind}"] = json.dumps(gap.model_dump(exclude={"holm", "bh"}))
    return details


def _uncertainty(row: Row, value: Value) -> dict[str, Any]:
    how = Statistics().interval
    uncertainty: dict[str, Any] = {"num_samples": row.n, "num_bootstrap_samples": DRAWS}
    if value.stderr is not None:
        uncertainty["standard_error"] = {"value": value.stderr, "method": how}
    if value.low is not None and value.high is not None:
        uncertainty["confidence_interval"] = {
            "lower": value.low,
            "upper": value.high,
            "confidence_level": LEVEL,
            "method": how,
        }
    return uncertainty


def _arguments(decoding: dict[str, Any]) -> dict[str, Any]:
    sampled = decoding["do_sample"]
    arguments = {
        "temperature": decoding["temperature"] if sampled else 0.0,
        "top_p": decoding["top_p"] if sampled else None,
        "top_k": decoding["top_k"] if sampled else None,
    }
    longest = decoding["max_new_tokens"]
    return {**arguments, **({"max_tokens": longest} if longest else {})}


def _model(row: Row) -> dict[str, Any]:
    """Describe the model: a hub model by its organization, a folder by its name, glyph as ours."""
    endpoint = endpoint_name(row.model)
    name = endpoint or row.model.rstrip("/")
    *above, last = name.split("/")
    if endpoint is not None:
        developer = above[0] if above else "unknown"
    elif len(above) == 1 and above[0] not in ("", ".", "~") and not Path(row.model).is_dir():
        developer = above[0]
    else:
        developer = "local" if above else "halluc"
    model = re.sub(r"[^\w.-]+", "_", last)
    return {
        "name": row.model,
        "id": f"{developer}/{model}",
        "developer": developer,
        "inference_engine": {
            "name": "endpoint" if endpoint else "transformers",
            "version": "unknown" if endpoint else row.versions.get("transformers", "unknown"),
        },
        "additional_details": {
            "deployment_type": "externally_managed" if endpoint else "self_deployed",
            "model_availability": "unknown" if endpoint else "open_weights",
            "revision": row.revision or "",
            "weights": row.weights,
            "dtype": row.dtype,
            "quantization": row.quantization or "none",
            "image_processing": row.image_processing,
        },
    }


def _uuid(part: Exported) -> UUID:
    """Derive an id from run and benchmark, so that a repeated export replaces itself."""
    digest = hashlib.sha256(f"{part.row.asker}/{part.row.key}".encode()).digest()
    return UUID(bytes=digest[:16], version=4)
