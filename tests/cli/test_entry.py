"""A signal ends the command with one line, whatever is being imported."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import halluc
from tests.kit.command import HALLUC


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_library_that_catches_what_is_raised_at_its_import_does_not_catch_a_signal(
    tmp_path: Path, name: str, code: int
) -> None:
    library = f"""
import os, signal
try:
    os.kill(os.getpid(), signal.{name})
except BaseException:
    pass
raise SystemExit(7)
"""
    (tmp_path / "typer.py").write_text(library)
    places = (tmp_path, Path(halluc.__file__).parents[1])  # this library, and these sources
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, places))}
    done = subprocess.run(
        [*HALLUC, "--version"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "halluc: stopped\n")
