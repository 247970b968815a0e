"""The wheel alone, in a fresh environment, outside the repository."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_wheel_brings_methods_benchmarks_and_weights(tmp_path: Path) -> None:
    def run(*command: str | Path) -> str:
        done = subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    run(sys.executable, "-m", "venv", tmp_path / "fresh")
    python = tmp_path / "fresh" / "bin" / "python"
    constraints = ROOT / "constraints.txt"
    run(python, "-m", "pip", "install", "--quiet", "-c", constraints, wheel)
    halluc = tmp_path / "fresh" / "bin" / "halluc"
    arguments = ("--model", "glyph", "--method", "var", "--benchmarks", "glyph_pope")
    shown = run(halluc, "eval", *arguments, "--limit", "6")
    assert "var - baseline" in shown
    assert "108 answers about 6 images" in shown
    assert (tmp_path / "runs").is_dir()
