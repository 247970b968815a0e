"""Hugging Face's two formats: `.eval_results/*.yaml`, and a model card's older model-index.

Both are written by huggingface_hub. Neither has a place for an intervention or an interval: they
are put into the notes, or into the metric's name and arguments.
"""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING

from halluc.errors import UserError
from halluc.files import write_whole
from halluc.leaderboard.formatting import interval

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from halluc.export.exported_run import Exported
    from halluc.leaderboard.board import Value


def write_eval_results(
    parts: Sequence[Exported], output: Path, dataset: str | None, source_url: str | None
) -> Iterator[Path]:
    """Write a file a benchmark and method, with the benchmark's headline metrics; yield the files.

    Args:
        dataset: Hub id of the benchmark's page, for a benchmark whose data is not on the hub.
        source_url: Where the run can be seen.

    Raises:
        UserError: If a benchmark's data set is not on the hub and none is given.
    """
    import yaml
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    folder = output / ".eval_results"
    for part in parts:
        row = part.row
        hub_id = dataset or part.hub_dataset
        if hub_id is None:
            raise UserError(
                f"{row.benchmark}: its data ({row.dataset}) is not on the hub, and "
                f".eval_results names a hub data set; give --dataset ORG/NAME"
            )
        entries = [
            EvalResultEntry(
                dataset_id=hub_id,
                task_id=re.sub(r"\W", "_", f"{row.benchmark}_{name}"),
                value=_shown(value),
                dataset_revision=row.dataset_revision if hub_id == part.hub_dataset else None,
                date=f"{part.date:%Y-%m-%d}",
                source_url=source_url,
                notes=_notes(part, name, value),
            )
            for name, value in _headline(part)
        ]
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{row.benchmark}-{row.method}-{row.key}.yaml"
        content = eval_result_entries_to_yaml(entries)
        write_whole(file, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
        yield file


def write_model_index(
    parts: Sequence[Exported], output: Path, source_url: str | None
) -> Iterator[Path]:
    """Write a model card's front matter, a file a model; yield the files."""
    from huggingface_hub import EvalResult, ModelCardData

    output.mkdir(parents=True, exist_ok=True)
    by_model = sorted(parts, key=lambda part: part.row.model)
    for model, group in groupby(by_model, key=lambda part: part.row.model):
        results = [
            EvalResult(
                task_type="image-text-to-text",
                dataset_type=part.row.dataset,
                dataset_name=part.row.benchmark,
                dataset_config=part.row.benchmark,
                dataset_split=part.row.split,
                dataset_revision=part.row.dataset_revision or None,
                metric_type=name,
                metric_value=_shown(value),
                metric_name=f"{name}, {part.method}",
                metric_args={"notes": _notes(part, name, value)},
                source_name="halluc" if source_url else None,
                source_url=source_url,
            )
            for part in group
            for name, value in _headline(part)
        ]
        file = output / ("model-index-" + re.sub(r"[^\w.-]+", "_", model) + ".md")
        card = ModelCardData(model_name=model, eval_results=results)
        write_whole(file, f"---\n{card.to_yaml()}\n---\n")
        yield file


def _headline(part: Exported) -> Iterator[tuple[str, Value]]:
    for name, value in part.row.metrics.items():
        if value.headline and value.value is not None:
            yield name, value


def _shown(value: Value) -> float:
    """Scale a value as the metric's authors do."""
    return round((value.value or 0.0) * value.scale, 4)


def _notes(part: Exported, name: str, value: Value) -> str:
    row = part.row
    notes = [
        f"method: {part.method}",
        f"decoding: {'sampling' if row.decoding['do_sample'] else 'greedy'}, "
        f"{row.decoding['num_beams']} beam(s)",
        f"prompt: {row.prompt}, scored by: {row.protocol}",
        f"n: {row.n} about {row.n_images} images, failed: {row.failed}",
        f"95% interval by image: {interval(value, value.scale)}",
    ]
    if gap := row.differences.get(name):
        notes.append(f"minus baseline: {interval(gap, value.scale, '+')}")
    if gap := row.same_length.get(name):
        notes.append(f"at equal length: {interval(gap, value.scale, '+')}")
    return "; ".join([*notes, f"halluc {part.version}"])
