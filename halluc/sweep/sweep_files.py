"""A finished sweep as files: sweep.json, points.csv and points.parquet, a line a number."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.config import BASELINE
from halluc.data.records import finite
from halluc.files import write_json, write_whole
from halluc.scoring.base import REGISTRY
from halluc.sweep.running import Sweep, feasible

if TYPE_CHECKING:
    from halluc.sweep.point_results import Outcome

_INTERVAL = ("value", "low", "high", "stderr")
_GAP = (*_INTERVAL, "p", "effect")


def write_sweep(sweep: Sweep) -> list[Path]:
    """Write all files, replacing earlier ones; Parquet where pyarrow is installed."""
    folder, rows = sweep.folder, list(lines(sweep))
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / "sweep.json", folder / "points.csv"]
    write_json(files[0], finite(summary(sweep)))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    write_whole(files[1], text.getvalue())
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        return files
    pq.write_table(pa.Table.from_pylist(rows), folder / "points.parquet")
    return [*files, folder / "points.parquet"]


def summary(sweep: Sweep) -> dict[str, Any]:
    """Describe the sweep as JSON can hold it."""
    config = sweep.config
    best = None if sweep.best is None else sweep.points[sweep.best]
    baseline, reported = sweep.reported or (sweep.baseline, best)
    half = "test" if sweep.reported else "tune"
    return {
        "config": config.model_dump(mode="json"),
        "objective": str(config.goal),
        "higher_is_better": config.goal.metric.higher_is_better,
        "tuned_on": _images(sweep, "tune", sweep.baseline),
        "reported_on": None if best is None else _images(sweep, half, baseline),
        "disjoint": bool(config.tune_share),
        "notes": notes(sweep),
        "best": asdict(reported) if reported else None,
        "baseline": asdict(baseline),
        "tuning": {
            "baseline": asdict(sweep.baseline) | {"tie_group": sweep.ties[0]},
            "points": [
                asdict(point)
                | {"tie_group": tie, "feasible": feasible(config, point), "best": i == sweep.best}
                for i, (point, tie) in enumerate(zip(sweep.points, sweep.ties[1:], strict=True))
            ],
        },
    }


def notes(sweep: Sweep) -> list[str]:
    """List what a reader of the numbers has to know."""
    if all(point.same for point in sweep.points):
        what = (
            f"Every answer of every point is the baseline's: {sweep.config.method} changes nothing"
        )
        return [f"{what} here, and no point is best."]
    texts = []
    if sweep.best is None:
        texts.append("No point meets the constraints, so none is best and none is reported.")
    elif not sweep.reported:
        texts.append(
            "Tuned and reported on the SAME images: the best point's numbers are too good."
        )
    if sweep.best is not None and sweep.ties[0] == sweep.ties[1 + sweep.best]:
        texts.append("On the images tuned on, the best point cannot be told from the baseline.")
    return texts


def lines(sweep: Sweep) -> Iterator[dict[str, Any]]:
    """Yield a line for every point, part of the images, and metric."""
    tuned = [sweep.baseline, *sweep.points]
    for i, (point, tie) in enumerate(zip(tuned, sweep.ties, strict=True)):
        best = sweep.best is not None and i == sweep.best + 1
        yield from _lines(sweep, "tune", point, tie, best)
    for i, point in enumerate(sweep.reported):
        yield from _lines(sweep, "test", point, None, i == 1)


def _lines(
    sweep: Sweep, part: str, setting: Outcome, tie: int | None, best: bool
) -> Iterator[dict[str, Any]]:
    point = setting.point
    about: dict[str, Any] = {
        "part": part,
        "model": sweep.config.model,
        "method": sweep.config.method if point is not None else BASELINE,
        **{
            axis.name: _cell((point or {}).get(axis.name), axis.numeric)
            for axis in sweep.config.axes
        },
        "seeds": ",".join(map(str, sweep.config.seeds)),
    }
    for name in sweep.config.benchmarks:
        for metric in REGISTRY.get(name).card.metrics:
            key = f"{name}.{metric.name}"
            if key not in setting.values:
                continue
            value, gap = setting.values[key], setting.differences.get(key)
            yield {
                **about,
                "benchmark": name,
                "n_images": setting.n_images[name],
                "metric": metric.name,
                "higher_is_better": metric.higher_is_better,
                **{field: finite(getattr(value, field)) for field in _INTERVAL},
                **{f"difference_{field}": finite(getattr(gap, field, None)) for field in _GAP},
                "objective": key == str(sweep.config.goal),
                "feasible": feasible(sweep.config, setting),
                "best": best,
                "tie_group": tie,
                "runs": ",".join(setting.runs),
            }


def _cell(value: Any, numeric: bool) -> Any:
    """Turn a value into a number on a numeric axis, else into text: a column has one type."""
    if value is None:
        return None
    if numeric:
        return float(value)
    return value if isinstance(value, str) else json.dumps(value)


def _images(sweep: Sweep, half: str, setting: Outcome) -> dict[str, dict[str, Any]]:
    args = sweep.config.run(half).benchmark_args
    return {
        name: {
            "split": args.get(name, {}).get("split") or REGISTRY.get(name).card.split,
            "images": setting.n_images[name],
        }
        for name in sweep.config.benchmarks
    }
