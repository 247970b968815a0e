"""What a sweep leaves behind, from runs that are made up."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from halluc.evaluation import Evaluation
from halluc.store import RunFolder, find_scored
from halluc.sweep.config_file import load_sweep
from halluc.sweep.point_results import Outcome, score_point
from halluc.sweep.running import Sweep, best_of, ties_of
from halluc.sweep.sweep_config import SweepConfig
from halluc.sweep.sweep_files import lines, notes, write_sweep
from halluc.sweep.sweep_table import cell, legend, tables
from tests.kit.runs import write_run

ERRORS = {0.2: 0.1, 0.4: 0.5, 0.6: 0.25}
"""A value of alpha to the share of wrong answers; the baseline's is 0.3."""


def evaluation(run: RunFolder) -> Evaluation:
    return Evaluation(run, {scored.name: scored for scored in find_scored(run)})


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """A sweep of one axis on 40 images."""
    folder = tmp_path_factory.mktemp("sweep")
    given: dict[str, Any] = {
        "method": "paint",
        "sweep": ["alpha=0.2,0.4,0.6"],
        "benchmarks": "glyph_chair,glyph_mme",
        "objective": "glyph_chair.chair_i",
    }
    config = load_sweep(None, given)
    unchanged = [evaluation(write_run(folder, error=0.3, limit=40))]
    runs = {
        error: write_run(folder, "paint", error, 40, params={"alpha": alpha})
        for alpha, error in ERRORS.items()
    }
    points = [
        score_point(point, [evaluation(runs[ERRORS[point["alpha"]]])], unchanged)
        for point in config.points()
    ]
    baseline = score_point(None, unchanged, unchanged)
    best, ties = best_of(config, points), ties_of(config, [baseline, *points])
    reported = (baseline, points[best]) if best is not None else ()
    return Sweep(config, folder / "report", baseline, tuple(points), ties, best, reported)


def test_the_best_has_the_least_hallucination(sweep: Sweep) -> None:
    assert sweep.best == 0
    goal = str(sweep.config.goal)
    gaps = [point.differences[goal] for point in sweep.points]
    assert [gap.value < 0 for gap in gaps] == [True, False, True]
    for point, gap in zip(sweep.points, gaps, strict=True):
        assert gap.value == pytest.approx(
            point.values[goal].value - sweep.baseline.values[goal].value
        )
        assert gap.low <= gap.value <= gap.high
    assert sweep.ties[1] == 1  # the best is in the first group,
    assert sweep.ties[2] > 1  # the worst is not


def test_constraints_choose_among_the_rest(sweep: Sweep) -> None:
    def bound(constraint: str) -> SweepConfig:
        return load_sweep(None, sweep.config.model_dump() | {"constraint": constraint})

    rates = [point.values[str(sweep.config.goal)].value for point in sweep.points]
    without_best = bound(f"glyph_chair.chair_i>{rates[0]}")
    assert best_of(without_best, sweep.points) == 2
    missed = replace(sweep, config=bound("glyph_chair.recall>1"), best=None, reported=())
    assert best_of(missed.config, sweep.points) is None
    assert "No point meets the constraints" in notes(missed)[0]
    assert "x misses a constraint" in legend(missed)


def test_of_equal_points_the_one_with_more_recall_is_best(sweep: Sweep) -> None:
    def point(number: int, **metrics: float) -> Outcome:
        found = sweep.points[number]
        values = {f"glyph_chair.{name}": value for name, value in metrics.items()}
        changed = {k: replace(found.values[k], value=v) for k, v in values.items()}
        return replace(found, values={**found.values, **changed})

    two = [point(n, chair_i=0.1, chair_s=0.2, recall=0.5) for n in range(2)]
    assert best_of(sweep.config, two) == 0
    recalls = [two[0], point(1, chair_i=0.1, chair_s=0.3, recall=0.6)]
    assert best_of(sweep.config, recalls) == 1  # recall before sentences
    sentences = [two[0], point(1, chair_i=0.1, chair_s=0.1, recall=0.5)]
    assert best_of(sweep.config, sentences) == 1
    worse = [two[0], point(1, chair_i=0.2, chair_s=0.1, recall=0.9)]
    assert best_of(sweep.config, worse) == 0
    undefined = [point(0, chair_i=float("nan"), recall=0.9), two[1]]
    assert best_of(sweep.config, undefined) == 1
    assert best_of(sweep.config, undefined[:1]) is None


def test_files_are_tidy(sweep: Sweep) -> None:
    files = write_sweep(sweep)
    rows = list(csv.DictReader((sweep.folder / "points.csv").open()))
    assert len(rows) == len(list(lines(sweep)))
    keys = [(row["part"], row["alpha"], row["benchmark"], row["metric"]) for row in rows]
    assert len(keys) == len(set(keys))
    (best,) = (
        r for r in rows if r["part"] == "test" and r["best"] == "True" and r["objective"] == "True"
    )
    assert sweep.reported
    value = sweep.reported[1].values["glyph_chair.chair_i"].value
    assert float(best["value"]) == pytest.approx(value)
    assert best["alpha"] == "0.2"
    content = json.loads(files[0].read_text())
    assert content["disjoint"] is True
    assert content["tuned_on"]["glyph_chair"] == {"split": "tune", "images": 40}
    assert content["reported_on"]["glyph_chair"]["split"] == "test"
    assert [point["best"] for point in content["tuning"]["points"]] == [True, False, False]
    pq = pytest.importorskip("pyarrow.parquet", reason="needs pip install 'halluc[sweep]'")
    table = pq.read_table(sweep.folder / "points.parquet").to_pylist()
    assert table == list(lines(sweep))


def test_the_table_marks_best_and_ties(sweep: Sweep) -> None:
    console = Console(file=io.StringIO(), width=160)
    for table in tables(sweep):
        console.print(table)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    marks = [line.split("│")[1].strip() for line in text.splitlines() if line.startswith("│")]
    assert marks[:4] == ["=" * (sweep.ties[0] == 1), "*=", "", "=" * (sweep.ties[3] == 1)]
    assert "Tuned on glyph_chair, 40 images (tune)" in text
    assert "none tuned on" in text
    assert "recall ↑" in text
    assert "length" in text


@pytest.mark.parametrize("best", [0, None])
def test_figures_fit_the_axes(sweep: Sweep, best: int | None, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs pip install 'halluc[sweep]'")
    from PIL import Image

    from halluc.sweep.sweep_figures import draw_sweep

    files = draw_sweep(replace(sweep, best=best), tmp_path)
    assert [file.name for file in files] == ["sweep-paint-line.png", "sweep-paint-pareto.png"]
    for file in files:
        assert len(Image.open(file).convert("RGB").getcolors(10**6) or []) > 50
    two = load_sweep(
        None, sweep.config.model_dump() | {"sweep": {"alpha": "0.2,0.4,0.6", "beta": 0.3}}
    )
    points = tuple(replace(p, point={**(p.point or {}), "beta": 0.3}) for p in sweep.points)
    files = draw_sweep(replace(sweep, config=two, points=points, best=best), tmp_path, ".svg")
    assert [file.name for file in files] == ["sweep-paint-map.svg", "sweep-paint-pareto.svg"]
    assert all(file.read_bytes().startswith(b"<?xml") for file in files)


def test_labels_cover_neither_each_other_nor_points() -> None:
    pytest.importorskip("matplotlib", reason="needs pip install 'halluc[figures]'")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    from halluc.sweep.label_places import place_labels

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    panel = figure.subplots()
    points = [(0.5 + 0.004 * n, 0.5 + 0.003 * (n % 3)) for n in range(8)] + [(0.0, 0.0), (1.0, 1.0)]
    for x, y in points:
        panel.plot(x, y, "o")
    notes = place_labels(panel, [(f"alpha=0.{n}", p, "black") for n, p in enumerate(points)])
    canvas.draw()  # type: ignore[no-untyped-call]
    boxes = [Text.get_window_extent(note) for note in notes]  # without the line to the point
    for n, box in enumerate(boxes):
        assert panel.get_window_extent().fully_containsx(box.x0 + 1)
        assert not any(box.overlaps(other) for other in boxes[:n])
        assert not any(box.contains(*spot) for spot in panel.transData.transform(points))


def test_values_in_words() -> None:
    values = ([0, 1, 2], [0, 2], 0.30000000000000004, "paper", True, None, {"3": [0]}, [4])
    words = ["0-3", "[0, 2]", "0.3", "paper", "true", "null", '{"3": [0]}', "[4]"]
    assert list(map(cell, values)) == words
