"""Run mypy --strict on the package as it is installed, on its tests and on bench.

mypy does not follow setuptools' package-dir, so it checks a staging folder of links.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
STAGING = ROOT / ".staging"


def stage() -> Path:
    """Lay out the package as it will be installed, with tests and bench next to it."""
    shutil.rmtree(STAGING, ignore_errors=True)
    package = STAGING / "halluc"
    package.mkdir(parents=True)
    for part in (ROOT / "halluc").iterdir():
        if part.name != "__pycache__":
            (package / part.name).symlink_to(part)
    for folder in ("methods", "benchmarks"):
        (package / folder).symlink_to(ROOT / folder)
    for folder in ("tests", "bench"):
        (STAGING / folder).symlink_to(ROOT / folder)
    return STAGING


if __name__ == "__main__":
    os.chdir(stage())
    config = ["--config-file", str(ROOT / "pyproject.toml")]
    cache = ["--cache-dir", str(ROOT / ".mypy_cache")]
    packages = [part for name in ("halluc", "tests", "bench") for part in ("-p", name)]
    mypy = [sys.executable, "-m", "mypy", *config, *cache, *packages]
    sys.exit(subprocess.run(mypy).returncode)
