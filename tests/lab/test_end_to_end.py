"""Experiments on the embedded model, a few scenes each, with a method that always says yes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from halluc.interventions import REGISTRY
from halluc.lab.base import EXPERIMENTS, Finding, Setting
from halluc.lab.drawing import save
from halluc.models import VisionLanguageModel, load_model
from tests.lab.made_up import Affirming


@pytest.fixture(scope="module")
def glyph() -> VisionLanguageModel:
    return load_model("glyph")


@pytest.fixture(autouse=True)
def affirming() -> Iterator[None]:
    with REGISTRY.scratch():
        REGISTRY.register("affirming")(Affirming)
        yield


def run(name: str, glyph: VisionLanguageModel, scenes: int, folder: Path) -> Finding:
    pytest.importorskip("matplotlib")
    setting = Setting(glyph, ("affirming",), scenes, output_dir=folder)
    finding = EXPERIMENTS.get(name)().run(setting)
    save(finding, folder / "figure.png")
    assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert len({tuple(row) for row in finding.rows}) == 1
    return finding


def test_dose(glyph: VisionLanguageModel, tmp_path: Path) -> None:
    finding = run("dose", glyph, 3, tmp_path)
    for row in finding.rows:
        if row["method"] == "affirming":
            asked = row["dose"] not in ("number", "length")
            assert row["hallucination at least (%)"] == (100 if asked else None)  # it names nothing
            assert row["recall at least (%)"] in ((100, None) if asked else (0,))


def test_counterfactual(glyph: VisionLanguageModel, tmp_path: Path) -> None:
    finding = run("counterfactual", glyph, 3, tmp_path)
    (row,) = [r for r in finding.rows if (r["method"], r["thing"]) == ("affirming", "all")]
    assert (row["flip (%)"], row["stuck yes (%)"], row["stuck no (%)"]) == (0, 100, 0)


def test_contrastive(glyph: VisionLanguageModel, tmp_path: Path) -> None:
    finding = run("contrastive", glyph, 2, tmp_path)
    rows = {row["arm"]: row for row in finding.rows}
    assert list(rows) == [
        "baseline, sampled", "baseline, greedy", "affirming, sampled", "affirming, greedy",
        "apc 0.2, sampled",
    ]  # fmt: skip
    for arm in ("affirming, sampled", "affirming, greedy"):
        assert (rows[arm]["accuracy (%)"], rows[arm]["yes (%)"]) == (50, 100)
