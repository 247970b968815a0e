"""Commands on published answers: `halluc recorded list|fetch|import|table`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from halluc.cli.options import (
    Against,
    ChairTables,
    GroundTruth,
    Json,
    Labels,
    OutputDir,
    Protocol,
    RecordName,
    print_json,
    typed_options,
)
from halluc.cli.printing import show
from halluc.errors import UserError
from halluc.figure_files import checked_figure
from halluc.plain_text import printable

if TYPE_CHECKING:
    from halluc.config import DecodingConfig
    from halluc.store import Scored

recorded_app = typer.Typer(
    help="Score answers of real models that their authors published; no model is needed.",
    no_args_is_help=True,
)


@recorded_app.command("list")
def list_recorded_command(as_json: Json = False) -> None:
    """List the catalogue: what was published, by which model and method, and its licence."""
    from halluc.recorded.published_answers import catalogue

    entries = catalogue().answers
    if as_json:
        print_json([entry.model_dump(mode="json") for entry in entries])
        return
    from rich.markup import escape
    from rich.table import Table

    table = Table()
    for column in ("name", "model", "method", "benchmark", "answers", "licence"):
        table.add_column(column, overflow="fold")
    for one in entries:
        cells = (one.name, one.model, one.method, one.benchmark, str(one.rows), one.licence or "-")
        table.add_row(*map(escape, cells))
    show(table)


@recorded_app.command("fetch")
def fetch_command(
    names: Annotated[
        list[str] | None, typer.Argument(help="Names of the catalogue, or the folder they are in.")
    ] = None,
    output_dir: OutputDir = Path("runs"),
    ground_truth: GroundTruth = None,
    chair_tables: ChairTables = None,
    protocol: Protocol = None,
    copies: Annotated[
        Path | None,
        typer.Option(help="Folder with copies of the published files, found by checksum."),
    ] = None,
) -> None:
    """Get published answers at their pinned commits, verify, keep and score them."""
    from halluc.recorded.runs import fetch_recorded

    options = typed_options(protocol=protocol, tables=chair_tables)
    for one in fetch_recorded(names or (), output_dir, ground_truth, options, copies):
        said = (
            f"{one.name}: {one.missing}"
            if one.scored is None
            else scores_line(one.name, one.scored)
        )
        typer.echo(printable(said))


@recorded_app.command("import")
def import_recorded_command(
    file: Annotated[Path, typer.Argument(help="Answers, in the format of a benchmark's authors.")],
    benchmark: Annotated[str, typer.Option(help="Benchmark they answer.")],
    model: Annotated[str, typer.Option(help="Model that gave them.")],
    method: Annotated[str, typer.Option(help="Method it had.")] = "baseline",
    against: Against = "",
    decoding: Annotated[
        str, typer.Option(help="How it was decoded: num_beams=5, or do_sample=true,seed=1.")
    ] = "",
    name: RecordName = "",
    labels: Labels = None,
    ground_truth: GroundTruth = None,
    chair_tables: ChairTables = None,
    protocol: Protocol = None,
    output_dir: OutputDir = Path("runs"),
) -> None:
    """Put a file of answers into a run folder: to score, compare, rank and export as any run."""
    from halluc.recorded.runs import keep
    from halluc.scoring.answer_files import AnswerFiles
    from halluc.store.record import Record

    record = Record.of_file(
        file, name, against, model=model, method=method, decoding=decoding or None
    )
    files = AnswerFiles.of(file, labels or (), ground_truth)
    options = typed_options(protocol=protocol, tables=chair_tables)
    scored = keep(
        output_dir, record, model, method, _decoding(decoding), benchmark, files, options, against
    )
    typer.echo(printable(scores_line(record.name, scored)))
    for note in scored.scores.notes:
        typer.echo(printable(note))


@recorded_app.command("table")
def table_command(
    places: Annotated[
        list[Path] | None, typer.Argument(help="Run folders, or folders of them; default: runs.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(help="File to write the page into, between its markers.")
    ] = None,
    figure: Annotated[
        Path | None, typer.Option(help="File to draw differences to: .png, .pdf or .svg.")
    ] = None,
) -> None:
    """Compare recorded runs with their baselines: paired, corrected, with what could be found."""
    from halluc.leaderboard.collecting import find_runs
    from halluc.leaderboard.markdown_tables import insert
    from halluc.recorded.markdown_page import page
    from halluc.recorded.paired import paired_records, recorded_only
    from halluc.store import scored_in

    scored = recorded_only(scored_in(find_runs(places or [Path("runs")])))
    if not scored:
        raise UserError("no recorded run there; 'halluc recorded fetch' or 'import' makes one")
    pairs = paired_records(scored)
    text = page(scored, pairs)
    if markdown is not None:
        insert(text, markdown)
    if figure is not None:
        checked_figure(figure)
        from halluc.recorded.paired_figure import draw_pairs

        draw_pairs(pairs, figure)
    if markdown is None and figure is None:
        typer.echo(text)


def scores_line(name: str, scored: Scored) -> str:
    """Say what was kept: the headline metrics of a run, and its folder."""
    from halluc.leaderboard.formatting import interval

    values = scored.scores.values.items()
    shown = (f"{n} {interval(v, v.scale)}" for n, v in values if v.headline and v.value is not None)
    return f"{name}: {scored.scores.n} answers, {', '.join(shown)} -> {scored.run.path}"


def _decoding(text: str) -> DecodingConfig:
    from halluc.config import DecodingConfig
    from halluc.validation import checked, key_values

    values: dict[str, Any] = key_values(text, "--decoding")
    return checked(DecodingConfig, values, "--decoding")
