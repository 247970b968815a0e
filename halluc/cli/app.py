"""The `halluc` command: its subcommands parse, call and print."""

from __future__ import annotations

import sys
from collections.abc import Callable

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
from halluc.cli.doctor import doctor_command
from halluc.cli.evaluate import eval_command
from halluc.cli.score import score_command
from halluc.cli.sweep import sweep_command
from halluc.errors import UserError
from halluc.memory import keep_freed_memory

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
    "score": score_command,
    "build": build_command,
    "sweep": sweep_command,
    "compare": compare_command,
    "power": power_command,
    "leaderboard": leaderboard_command,
    "export": export_command,
}
for _name, _command in _COMMANDS.items():
    app.command(_name)(_command)


def main() -> None:
    """Run the command line; an error that the user can correct is one line and exit code 2."""
    keep_freed_memory()
    try:
        app()
    except UserError as error:
        print(f"halluc: {error}", file=sys.stderr)
        sys.exit(2)
