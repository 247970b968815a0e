"""The `halluc` command: its subcommands parse, call and print."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from typing import NoReturn

import typer

from halluc.cli.boards import (
    compare_command,
    export_command,
    leaderboard_command,
    power_command,
)
from halluc.cli.build import build_command
from halluc.cli.calibrate import calibrate_command
from halluc.cli.catalogue import list_command
from halluc.cli.cite import cite_command
from halluc.cli.crosscheck import crosscheck_command
from halluc.cli.data import data_app
from halluc.cli.doctor import doctor_command
from halluc.cli.evaluate import eval_command
from halluc.cli.lab import lab_command
from halluc.cli.runs import runs_app, status_command
from halluc.cli.score import score_command
from halluc.cli.sweep import sweep_command
from halluc.errors import UserError
from halluc.interruption import Interrupted
from halluc.memory import keep_freed_memory
from halluc.plain_text import printable

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Which inference-time methods stop vision-language models from hallucinating?",
)

_COMMANDS: dict[str, Callable[..., None]] = {
    "eval": eval_command,
    "calibrate": calibrate_command,
    "doctor": doctor_command,
    "list": list_command,
    "cite": cite_command,
    "score": score_command,
    "build": build_command,
    "sweep": sweep_command,
    "lab": lab_command,
    "crosscheck": crosscheck_command,
    "compare": compare_command,
    "power": power_command,
    "leaderboard": leaderboard_command,
    "export": export_command,
    "status": status_command,
}
for _name, _command in _COMMANDS.items():
    app.command(_name)(_command)
app.add_typer(runs_app, name="runs")
app.add_typer(data_app, name="data")


def run() -> None:
    """Run the command line; what the user can correct is one line.

    Exit codes: 2 for an error, 130 after Ctrl-C, 143 after SIGTERM.
    """
    keep_freed_memory()
    try:
        app()
    except UserError as error:
        _leave(str(error), 2)
    except Interrupted as stopped:
        _leave(str(stopped) or "stopped", 128 + stopped.signum)
    except OSError as error:
        if error.errno == errno.EPIPE:  # whoever read the output has left
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        name = str(error.filename or "")
        named = f"{name if len(name) < 300 else name[:100] + '...'}: " * bool(name)
        _leave(f"{named}{error.strerror or error}", 2)


def _leave(text: str, code: int) -> NoReturn:
    print(f"halluc: {printable(text)}", file=sys.stderr)
    sys.exit(code)
