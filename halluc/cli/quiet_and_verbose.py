"""The options --quiet and --verbose, which all commands have alike."""

from __future__ import annotations

import inspect
import logging
import sys
import warnings
from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any

import typer

from halluc.errors import Notice, UserError

if TYPE_CHECKING:
    from rich.console import Console

_LOUDNESS = ContextVar("loudness", default="")

Quiet = Annotated[
    bool, typer.Option("--quiet", help="Print no progress and no tables; errors and files remain.")
]
Verbose = Annotated[
    bool,
    typer.Option("--verbose", help="Also print warnings of libraries, and where errors arise."),
]


def loudness() -> str:
    """Return "quiet", "verbose" or "" of the command that is running."""
    return _LOUDNESS.get()


def progress_console() -> Console:
    """Return the console that progress goes to: standard error, or nothing where it is quiet."""
    from rich.console import Console

    return Console(stderr=True, quiet=loudness() == "quiet")


def _filter_warnings(verbose: bool) -> None:
    """Let through our own notices, in one line; of others all or none."""
    if verbose:
        logging.basicConfig(level=logging.INFO, stream=sys.stderr)
        warnings.simplefilter("default")
    elif not sys.warnoptions:
        warnings.simplefilter("ignore")
    warnings.simplefilter("always", Notice)
    usual = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, Notice):
            typer.echo(f"halluc: {message}", err=True)
        else:
            usual(message, category, *where, **more)

    warnings.showwarning = show


def with_loudness(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command both options.

    Warnings of Python's and of other libraries are kept away unless it is verbose, or Python was
    told otherwise (`-W`, `PYTHONWARNINGS`).
    """
    signature = inspect.signature(command, eval_str=True)
    own = [name for name in ("quiet", "verbose") if name in signature.parameters]

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> Any:
        told = {name: options.get(name) for name in ("quiet", "verbose")}
        if all(told.values()):
            raise UserError("--quiet and --verbose contradict each other; give one")
        kept = {k: v for k, v in options.items() if k in own or k not in told}
        token = _LOUDNESS.set(next((name for name, on in told.items() if on), ""))
        try:
            with warnings.catch_warnings():
                _filter_warnings(bool(told["verbose"]))
                return command(*arguments, **kept)
        finally:
            _LOUDNESS.reset(token)

    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
        for name, kind in (("quiet", Quiet), ("verbose", Verbose))
        if name not in own
    ]
    run.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*signature.parameters.values(), *options]
    )
    return run
