"""The `halluc` command in a process of its own.

Processes are forked from one that has torch imported already, as that takes seconds and most
commands less. What is about a command's start runs `HALLUC`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

HALLUC = [sys.executable, "-c", "from halluc.cli.entry import main; main()"]

_FORKS = get_context("forkserver")
_FORKS.set_forkserver_preload(["torch", "transformers.models.llava.modeling_llava"])


def _read_at_import(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that libraries read when they are imported, and not again."""
    return {name: value for name, value in environment.items() if name.startswith("HF_")}


_IMPORTED_WITH = _read_at_import(os.environ)


def halluc(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command; options of `environment` are added to this process's own."""
    given = os.environ | {"NO_COLOR": "1", "COLUMNS": "200"} | environment
    if _read_at_import(given) != _IMPORTED_WITH:
        command = [*HALLUC, *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=given)
    with TemporaryDirectory() as folder:
        written = [Path(folder, name) for name in ("stdout", "stderr")]
        process = _FORKS.Process(target=_run, args=(arguments, cwd, given, *written))
        process.start()
        process.join()
        output, errors = (path.read_text() for path in written)
    assert process.exitcode is not None
    return subprocess.CompletedProcess(arguments, process.exitcode, output, errors)


def _run(
    arguments: Sequence[str], cwd: Path, environment: Mapping[str, str], output: Path, errors: Path
) -> None:
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, path in ((1, output), (2, errors)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    sys.argv = ["halluc", *arguments]
    from halluc.cli.entry import main

    main()
