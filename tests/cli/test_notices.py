"""What a user should know and stops nothing is one line, also where warnings are kept away."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from halluc.cli.app import app
from halluc.interventions import REGISTRY as METHODS
from halluc.scoring.base import REGISTRY
from tests.kit.runs import write_run


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs of two benchmarks, one of which is no longer installed."""
    write_run(tmp_path / "runs", "vhr", benchmarks=("glyph_mme", "glyph_chair"), limit=3)
    REGISTRY.names()
    monkeypatch.delitem(REGISTRY._entries, "glyph_chair")
    return tmp_path / "runs"


@pytest.mark.parametrize("command", ["leaderboard", "export"])
def test_scores_of_a_benchmark_that_is_not_installed_are_left_out(
    runs: Path, tmp_path: Path, command: str
) -> None:
    form = ["lm-eval"] if command == "export" else []
    done = run(command, *form, str(runs), "--output", str(tmp_path / "out.json"))
    assert done.exit_code == 0, done.exception
    assert done.stderr.count("glyph_chair") == 1
    assert "halluc: glyph_chair: is not installed here; its scores are left out\n" in done.stderr
    assert "glyph_mme" in done.stdout or command == "export"


def test_a_broken_plug_in_is_one_line_and_other_warnings_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Broken:
        name, value = "mine", "mine.methods"

        def load(self) -> None:
            warnings.warn("of a library", DeprecationWarning, stacklevel=1)
            raise ImportError("no module named 'mine'")

    monkeypatch.setattr("halluc.registry.entry_points", lambda group: [Broken()])
    monkeypatch.setattr(METHODS, "_discovered", False)
    filters = list(warnings.filters)
    done = run("list", "methods")
    said = "halluc: plug-in 'mine' (mine.methods) is left out: no module named 'mine'\n"
    assert done.stderr == said and "var" in done.stdout
    assert warnings.filters == filters
