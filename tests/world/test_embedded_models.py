"""Boards, sweeps, doctor, calibration and cross-checks work with every embedded model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from halluc.models.names import EMBEDDED
from tests.kit.command import halluc

pytestmark = pytest.mark.slow


@pytest.fixture(params=EMBEDDED)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_doctor_finds_every_promise_kept(name: str, tmp_path: Path) -> None:
    done = halluc("doctor", "--model", name, "--json", cwd=tmp_path, HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert {finding["status"] for finding in report["promises"].values()} == {"kept"}
    fits = {fit["name"]: fit["status"] for fit in report["methods"]}
    assert {fits[method] for method in ("var", "act", "zerotuning", "vhr", "vcd")} == {"applies"}


@pytest.mark.parametrize("method", ["var", "vhr", "vti"])
def test_what_a_method_needs_of_it_is_measured(method: str, name: str, tmp_path: Path) -> None:
    done = halluc("calibrate", "--model", name, "--method", method, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_sweep_finds_its_best_point(name: str, tmp_path: Path) -> None:
    done = halluc(
        "sweep", "--model", name, "--method", "var", "--sweep", "keep=0.2,0.6",
        "--benchmarks", "glyph_chair", "--limit", "20", "--objective", "glyph_chair.chair_i",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "keep" in done.stdout


def test_all_of_them_stand_on_one_board(tmp_path: Path) -> None:
    for model in EMBEDDED:
        asked = ("--model", model, "--method", "var,act,zerotuning", "--limit", "4")
        done = halluc("eval", *asked, "--benchmarks", "glyph", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    page = tmp_path / "page.md"
    page.write_text("<!-- leaderboard:start -->\n<!-- leaderboard:end -->\n")
    command = ["leaderboard", "runs", "--overview", str(page), "--output", "board.json"]
    done = halluc(*command, "--quiet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "board.json").read_text())["rows"]
    assert len(rows) == len(EMBEDDED) * 4 * 3
    assert all(row["baseline"] for row in rows)
    head = " | ".join(f"{model}, 4 images" for model in EMBEDDED)
    assert page.read_text().count(f"| method | {head} |") == 3
    for method in ("baseline", "var", "act", "zerotuning"):
        assert page.read_text().count(f"| {method} |") == 3


def test_each_of_them_can_be_evidence_about_the_others(tmp_path: Path) -> None:
    names = ",".join(EMBEDDED)
    done = halluc(
        "crosscheck", "--targets", names, "--evidence", names, "--benchmark", "glyph_chair",
        "--limit", "3", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert all(model in done.stdout for model in EMBEDDED)
