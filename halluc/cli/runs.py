"""Commands on what is kept: `halluc runs list|show|prune|verify` and `halluc status`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from halluc.cli.options import Json, print_json
from halluc.cli.printing import say, show, window
from halluc.errors import UserError
from halluc.plain_text import printable

runs_app = typer.Typer(
    help="List, show, prune and verify what is kept in run folders.", no_args_is_help=True
)

Places = Annotated[
    list[Path] | None, typer.Argument(help="Run folders, or folders of run folders; default: runs.")
]


@runs_app.command("list")
def list_command(places: Places = None, as_json: Json = False) -> None:
    """List runs: model, method and key, with the number of answers and scores."""
    rows = [
        {
            "run": str(run.path),
            "model": run.asker.model_id,
            "method": run.asker.method.name,
            "key": run.asker.key,
            "answers": {
                name: len(run.answers(name))
                for name in sorted({asked.benchmark for asked, _ in run.sample_sets()})
            },
            "scores": len(run.scores_files()),
        }
        for run in _runs(places)
    ]
    if as_json:
        print_json(rows)
        return
    _print_table(
        ("run", "answers", "scores"),
        [
            (
                row["run"],
                ", ".join(f"{n} {name}" for name, n in row["answers"].items()),
                row["scores"],
            )
            for row in rows
        ],
    )


@runs_app.command("show")
def show_command(
    run: Annotated[Path, typer.Argument(help="Run folder.")], as_json: Json = False
) -> None:
    """Show what a run's answers depend on, how far it is, and its scores."""
    from halluc.leaderboard import board_of, render
    from halluc.store import RunFolder, find_scored

    folder = RunFolder.read(run)
    if as_json:
        print_json({"key": folder.asker.key, **folder.asker.model_dump(mode="json")})
        return
    about = folder.asker.model_dump(mode="json", exclude_defaults=True)
    for name, value in about.items():
        say(f"{name}: {printable(value)}")
    _print_progress([folder])
    if scored := list(find_scored(folder)):
        show(*render(board_of(scored), window().width))


@runs_app.command("prune")
def prune_command(
    places: Places = None,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete the files; without it they are only listed.")
    ] = False,
) -> None:
    """List, or delete, scores of samples that a later run of more samples includes."""
    from halluc.store.kept_runs import superseded

    files = [file for run in _runs(places) for file in superseded(run)]
    for file in files:
        if delete:
            file.unlink(missing_ok=True)
        typer.echo(printable(file))
    typer.echo(f"{len(files)} files {'deleted' if delete else 'to delete; add --delete'}")


@runs_app.command("verify")
def verify_command(places: Places = None) -> None:
    """Check that every file of a run is whole and unedited; exit with 2 where one is not."""
    from halluc.store.kept_runs import problems

    runs = _runs(places)
    found = [problem for run in runs for problem in problems(run)]
    for problem in found:
        typer.echo(printable(problem))
    if found:
        raise UserError(f"{len(found)} problems in {len(runs)} runs")
    typer.echo(f"{len(runs)} runs are whole")


def status_command(places: Places = None, as_json: Json = False) -> None:
    """Show how far runs are, shards included, and which processes are writing."""
    from dataclasses import asdict

    from halluc.store.kept_runs import progress

    runs = _runs(places)
    if as_json:
        print_json(
            [
                {"run": str(run.path), **asdict(one), "asked": one.asked.model_dump()}
                for run in runs
                for one in progress(run)
            ]
        )
        return
    _print_progress(runs)


def _runs(places: list[Path] | None) -> list[Any]:
    from halluc.leaderboard.collecting import find_runs

    return find_runs(places or [Path("runs")])


def _print_progress(runs: list[Any]) -> None:
    from halluc.store.kept_runs import progress

    rows = [
        (
            run.path.name,
            one.asked.benchmark,
            f"{one.answered}/{one.total}",
            one.failed,
            ", ".join(one.scored) or "-",
            ", ".join(one.writers) or "-",
        )
        for run in runs
        for one in progress(run)
    ]
    _print_table(("run", "benchmark", "answered", "failed", "scored by", "being written by"), rows)


def _print_table(columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    show(table)
