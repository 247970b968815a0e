"""The wheel alone, in a fresh environment, outside the repository."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import pytest

from tests.release_check import ROOT
from tests.release_check import run as run_in


@pytest.mark.slow
def test_wheel_brings_methods_benchmarks_and_weights(tmp_path: Path) -> None:
    run = partial(run_in, folder=tmp_path)
    run(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    run(sys.executable, "-m", "venv", tmp_path / "fresh")
    python = tmp_path / "fresh" / "bin" / "python"
    constraints = ROOT / "constraints.txt"
    run(python, "-m", "pip", "install", "--quiet", "-c", constraints, wheel)
    halluc = tmp_path / "fresh" / "bin" / "halluc"
    arguments = ("--model", "glyph", "--method", "var", "--benchmarks", "glyph_pope")
    shown = run(halluc, "eval", *arguments, "--limit", "6")
    assert "108 answers about 6 images" in shown
    asked = {folder.name.rsplit("-", 1)[0] for folder in (tmp_path / "runs").iterdir()}
    assert {"glyph-baseline", "glyph-var"} <= asked
