"""Commands on runs that are already there: compare, power, leaderboard, export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from halluc.errors import UserError, needs_packages

Json = Annotated[bool, typer.Option("--json", help="For programs.")]
Labels = Annotated[Path | None, typer.Option(help="Question or annotation file.")]
GroundTruth = Annotated[Path | None, typer.Option(help="CHAIR's objects per image.")]
ChairTables = Annotated[Path | None, typer.Option(help="CHAIR's synonym tables.")]


def compare(
    first: Annotated[Path, typer.Argument(help="A run folder, or an official answers file.")],
    second: Annotated[Path, typer.Argument(help="What it is compared with: the baseline.")],
    benchmark: Annotated[str | None, typer.Option(help="Whose format the files have.")] = None,
    labels: Labels = None,
    ground_truth: GroundTruth = None,
    chair_tables: ChairTables = None,
    protocol: Annotated[str | None, typer.Option(help="Whose scorer reads both.")] = None,
    as_json: Json = False,
) -> None:
    """Say what distinguishes two runs, or two answers files, on the samples both answered."""
    from halluc.leaderboard.run_comparison import of_files, of_runs, tables
    from halluc.scoring.answer_files import AnswerFiles

    differing: list[str] = []
    if first.is_dir() and second.is_dir():
        pairs, differing = of_runs(first, second, protocol)
    elif benchmark is None:
        raise UserError(
            f"{first} and {second} are no two run folders; answers files need --benchmark: "
            f"whose format is it?"
        )
    else:
        options = {"protocol": protocol, "tables": chair_tables}
        typed = {key: value for key, value in options.items() if value is not None}
        files = (AnswerFiles(path, labels, ground_truth) for path in (first, second))
        pairs = of_files(benchmark, typed, *files)
    if as_json:
        found = {name: pair.model_dump() for name, pair in pairs.items()}
        typer.echo(json.dumps({"benchmarks": found, "differ_in": differing}, indent=2))
        return
    from rich.console import Console

    console = Console()
    for table in tables(pairs):
        console.print(table)
    for note in (note for pair in pairs.values() for note in pair.notes):
        console.print(note, highlight=False)
    if differing:
        console.print(f"The runs also differ in {'; '.join(differing)}.", highlight=False)


def power(
    benchmark: Annotated[str, typer.Option(help="How many images and questions it has.")],
    difference: Annotated[float, typer.Option(help="To be seen, in the share of right answers.")],
    images: Annotated[int | None, typer.Option(min=1, help="Default: all of them.")] = None,
    pilot: Annotated[
        tuple[Path, Path] | None, typer.Option(help="Two runs to measure what is else assumed.")
    ] = None,
    discordance: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of answers only one method has right.")
    ] = 0.1,
    correlation: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Of the differences about one image.")
    ] = 0.1,
    target: Annotated[float, typer.Option(min=0.05, max=0.999, help="Power wanted.")] = 0.8,
    alpha: Annotated[float, typer.Option(min=1e-6, max=0.5, help="Two-sided level.")] = 0.05,
    as_json: Json = False,
) -> None:
    """Say how many images it takes to see a difference, and what a benchmark's own images show."""
    from halluc.statistics.power_planning import lines, plan

    found = plan(benchmark, difference, images, pilot, discordance, correlation, target, alpha)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for line in lines(found):
        typer.echo(line)


def leaderboard(
    places: Annotated[
        list[Path], typer.Argument(help="Run folders, folders of them, boards (JSON).")
    ],
    output: Annotated[Path | None, typer.Option(help="Write the board here as JSON.")] = None,
    markdown: Annotated[
        Path | None, typer.Option(help="Write the tables between this file's leaderboard markers.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write a line a metric here.")] = None,
    figure: Annotated[Path | None, typer.Option(help="Draw the differences here (PNG).")] = None,
    skip_unfinished: Annotated[
        bool, typer.Option("--skip-unfinished", help="Leave half-written runs out.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print no tables.")] = False,
) -> None:
    """Gather finished runs, and boards of other machines, into one board."""
    from rich.console import Console

    from halluc.leaderboard import collect, draw, insert, render, write_csv

    if figure is not None:
        needs_packages("--figure", "matplotlib")
        if figure.suffix.lower() != ".png":
            raise UserError(f"--figure {str(figure)!r}: a PNG is drawn; let the name end in .png")
    board = collect(places, skip_unfinished)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(board.model_dump_json(indent=2) + "\n")
    if markdown is not None:
        insert(board, markdown)
    if csv is not None:
        write_csv(board, csv)
    if figure is not None:
        draw(board, figure)
    console = Console()
    for table in () if quiet else render(board):
        console.print(table)
    if output is not None:
        console.print(f"{output}: {len(board.rows)} rows", highlight=False, soft_wrap=True)


def export(
    form: Annotated[
        str,
        typer.Argument(
            metavar="FORMAT", help="lm-eval, every-eval-ever, eval-results or model-index."
        ),
    ],
    places: Annotated[list[Path], typer.Argument(help="Run folders, or folders of them.")],
    output: Annotated[Path, typer.Option(help="Folder to write into.")] = Path("export"),
    organization: Annotated[str, typer.Option(help="Who ran them (Every Eval Ever).")] = "unknown",
    dataset: Annotated[
        str | None, typer.Option(help="Hub id, for data that is on no hub (eval-results).")
    ] = None,
    source_url: Annotated[
        str | None, typer.Option(help="Where the runs can be seen (Hugging Face).")
    ] = None,
) -> None:
    """Write runs in a format others read."""
    from halluc.export import export as exported

    for path in exported(form, places, output, organization, dataset, source_url):
        typer.echo(str(path))
