from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from halluc.errors import UserError
from halluc.report.charts_of_sweeps import sweep_charts

pytest.importorskip("altair")


def sweep(folder: Path, points: list[dict[str, Any]], axes: tuple[str, ...]) -> Path:
    goal = "glyph_chair.chair_i"
    content = {
        "config": {"method": "var", "model": "glyph", "sweep": dict.fromkeys(axes, "...")},
        "objective": goal,
        "higher_is_better": False,
        "notes": ["A note."],
        "tuning": {
            "baseline": {"values": {goal: {"value": 0.25}}},
            "points": [
                {
                    "point": point,
                    "best": number == 1,
                    "values": {goal: {"value": 0.2 + number / 100, "low": 0.1, "high": 0.3}},
                }
                for number, point in enumerate(points)
            ],
        },
    }
    folder.mkdir(parents=True)
    (folder / "sweep.json").write_text(json.dumps(content))
    return folder


def marks(spec: dict[str, Any]) -> list[str]:
    return [layer["mark"]["type"] for layer in spec["layer"]]


def test_one_parameter_is_a_line_and_two_are_a_map(tmp_path: Path) -> None:
    sweep(tmp_path / "a", [{"keep": 0.2}, {"keep": 0.4}], ("keep",))
    pairs = [{"v.keep": 0.2, "on": True}, {"v.keep": 0.4, "on": False}]
    sweep(tmp_path / "b", pairs, ("v.keep", "on"))
    sweep(tmp_path / "c", [{"a": 1, "b": 2, "c": 3}], ("a", "b", "c"))
    line, heat = sweep_charts([tmp_path, tmp_path / "a"])
    assert "line" in marks(line.spec) and "baseline is at 0.25" in line.about
    assert "lower is better" in line.about and "A note." in line.about
    assert marks(heat.spec) == ["rect", "rect"]
    assert heat.spec["layer"][0]["encoding"]["x"]["field"] == "v\\.keep"
    (values,) = heat.spec["datasets"].values() if "datasets" in heat.spec else [None]
    records = values or heat.spec["data"]["values"]
    assert records[0] == {
        "v.keep": 0.2, "on": "true", "value": 0.2, "low": 0.1, "high": 0.3, "best": False,
    }  # fmt: skip
    assert records[1]["best"] is True


def test_a_broken_sweep_is_named(tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text("{}")
    with pytest.raises(UserError, match=r"sweep\.json: is not a finished sweep"):
        sweep_charts([tmp_path])
