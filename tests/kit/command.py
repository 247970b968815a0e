"""The `halluc` command in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HALLUC = [sys.executable, "-c", "from halluc.cli.entry import main; main()"]


def halluc(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command; options of `environment` are added to this process's own."""
    return subprocess.run(
        [*HALLUC, *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | {"NO_COLOR": "1", "COLUMNS": "200"} | environment,
    )
