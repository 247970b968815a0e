"""The commands `halluc claims` and `halluc reproduce`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from halluc.cli.options import Json, SkipUnfinished, TablesIn, print_json
from halluc.cli.printing import say, show
from halluc.errors import UserError
from halluc.plain_text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from halluc.claims.claims_table import Beside

Dtype = Literal["float16", "bfloat16", "float32"]
"""As `halluc.claims.reproduction` has it, which starting the command need not import."""


def claims_command(
    places: Annotated[
        list[Path] | None,
        typer.Argument(help="Run folders, folders of run folders, and boards (JSON)."),
    ] = None,
    method: Annotated[str | None, typer.Option(help="Only what is claimed of this method.")] = None,
    benchmark: Annotated[
        str | None, typer.Option(help="Only what is claimed on this benchmark.")
    ] = None,
    markdown_in: TablesIn = None,
    skip_unfinished: SkipUnfinished = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print no table.")] = False,
    as_json: Json = False,
) -> None:
    """Put what is measured in runs next to what papers claim, with a verdict for each claim."""
    from halluc.claims import select
    from halluc.claims.claims_table import as_json as records
    from halluc.claims.claims_table import beside, markdown
    from halluc.leaderboard import Board, collect, insert

    claims = select(method, benchmark)
    board = collect(places, skip_unfinished) if places else Board(rows=[])
    found = beside(claims, board)
    if markdown_in is not None:
        insert(markdown(found), markdown_in)
    if as_json:
        print_json(records(found))
    elif not quiet:
        _show(found)


def reproduce_command(
    claim: Annotated[str, typer.Argument(help="Name of the claim, as 'halluc claims' shows it.")],
    limit: Annotated[
        int | None, typer.Option(min=1, help="Number of images; default: all of the benchmark.")
    ] = None,
    seeds: Annotated[
        int, typer.Option(min=1, help="Number of seeds, if the claim is of sampled answers.")
    ] = 1,
    benchmark_args: Annotated[
        str, typer.Option(help="Further options of the benchmark: folder=DIR.")
    ] = "",
    model_args: Annotated[
        str, typer.Option(help="Further options of loading the model: device_map=auto.")
    ] = "",
    dtype: Annotated[Dtype, typer.Option(help="Type of the weights.")] = "float16",
    seconds_a_pass: Annotated[
        float | None,
        typer.Option(
            min=0.0, help="Seconds of a forward pass of one sample; default: docs/planning.md's."
        ),
    ] = None,
    output_dir: Annotated[Path, typer.Option(help="Folder that receives the run folders.")] = Path(
        "runs"
    ),
    run: Annotated[
        bool, typer.Option("--run", help="Run the commands; otherwise they are only printed.")
    ] = False,
) -> None:
    """Say what it takes to measure a claim, and print the commands that do, or run them."""
    from halluc.claims import find_claim
    from halluc.claims.reproduction import FOLDER, lines, plan

    planned = plan(
        find_claim(claim),
        limit,
        seeds,
        dtype,
        benchmark_args,
        model_args,
        str(output_dir),
        seconds_a_pass,
    )
    for line in lines(planned):
        typer.echo(printable(line))
    if not run:
        return
    if planned.folder:
        raise UserError(f"{claim}: --run needs a folder of images: --benchmark-args {FOLDER}")
    for command in planned.commands:
        if code := run_halluc(command):
            raise typer.Exit(code)
    from halluc.claims.claims_table import beside
    from halluc.leaderboard import collect

    _show(beside([planned.claim], collect([output_dir], skip_unfinished=True)))


def _show(found: Sequence[Beside]) -> None:
    """Print a table of claims, and the rule of its verdicts."""
    from halluc.claims import RULE
    from halluc.claims.claims_table import table

    show(table(found))
    say(RULE.replace("**", ""))


def run_halluc(arguments: tuple[str, ...]) -> int:
    """Run a `halluc` command in a process of its own; return its exit code."""
    return subprocess.run([sys.executable, "-m", "halluc.cli.entry", *arguments]).returncode
