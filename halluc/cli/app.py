"""The `halluc` command: its subcommands parse, call and print."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated, NoReturn

import typer

from halluc.cli.attend import attend_command
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
from halluc.cli.claims import claims_command, reproduce_command
from halluc.cli.crosscheck import crosscheck_command
from halluc.cli.data import data_app
from halluc.cli.doctor import doctor_command
from halluc.cli.evaluate import eval_command
from halluc.cli.import_log import import_command
from halluc.cli.lab import lab_command
from halluc.cli.quiet_and_verbose import with_loudness
from halluc.cli.recorded import recorded_app
from halluc.cli.report import report_command, view_command
from halluc.cli.runs import runs_app, status_command
from halluc.cli.score import score_command
from halluc.cli.show import show_command
from halluc.cli.sweep import sweep_command
from halluc.errors import UserError
from halluc.interruption import Interrupted
from halluc.memory import keep_freed_memory
from halluc.plain_text import printable

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

_COMMANDS: dict[str, Callable[..., None]] = {
    "eval": eval_command,
    "calibrate": calibrate_command,
    "doctor": doctor_command,
    "list": list_command,
    "show": show_command,
    "cite": cite_command,
    "score": score_command,
    "import": import_command,
    "build": build_command,
    "sweep": sweep_command,
    "lab": lab_command,
    "attend": attend_command,
    "crosscheck": crosscheck_command,
    "compare": compare_command,
    "power": power_command,
    "leaderboard": leaderboard_command,
    "claims": claims_command,
    "reproduce": reproduce_command,
    "report": report_command,
    "view": view_command,
    "export": export_command,
    "status": status_command,
}
for _name, _command in _COMMANDS.items():
    app.command(_name)(_command)
app.add_typer(runs_app, name="runs")
app.add_typer(data_app, name="data")
app.add_typer(recorded_app, name="recorded")
for _app in (app, runs_app, data_app, recorded_app):
    for _registered in _app.registered_commands:
        if _registered.callback is not None:
            _registered.callback = with_loudness(_registered.callback)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"halluc {version('halluc')}")
        raise typer.Exit


@app.callback()
def _options(
    wanted: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Which inference-time methods stop vision-language models from hallucinating?"""


def run() -> None:
    """Run the command line; what the user can correct is one line.

    Exit codes: 2 for an error, 130 after Ctrl-C, 143 after SIGTERM.
    """
    keep_freed_memory()
    try:
        app()
    except UserError as error:
        if "--verbose" in sys.argv:
            traceback.print_exc()
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
