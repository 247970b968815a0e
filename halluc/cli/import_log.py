"""The command `halluc import`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

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
from halluc.cli.recorded import scores_line
from halluc.plain_text import printable


def import_command(
    file: Annotated[Path, typer.Argument(help="Log of samples, as another harness named it.")],
    source: Annotated[
        str,
        typer.Option(
            "--from",
            help="Harness it is from: lmms-eval, vlmevalkit, open-vlm-records, lm-eval or inspect.",
        ),
    ],
    labels: Labels = None,
    ground_truth: GroundTruth = None,
    chair_tables: ChairTables = None,
    protocol: Protocol = None,
    model: Annotated[
        str | None, typer.Option(help="Name of the model on boards; default: the log's.")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(help="Method the model had; default: baseline, as harnesses know none."),
    ] = None,
    against: Against = "",
    name: RecordName = "",
    output_dir: OutputDir = Path("runs"),
    as_json: Json = False,
) -> None:
    """Put answers that another harness logged into a run folder, and score them."""
    from halluc.importing.imported import read_log
    from halluc.importing.imported_run import keep_imported
    from halluc.importing.tools import log_of
    from halluc.scoring.building import options_taken

    log = log_of(file, source)
    typed = typed_options(protocol=protocol, tables=chair_tables)
    options = options_taken(log.benchmark, typed)
    imported = replace(read_log(log, file, options, labels or (), ground_truth), method=method)
    scored = keep_imported(imported, file, output_dir, options, model, against, name)
    if as_json:
        print_json(scored.scores.model_dump(mode="json"))
        return
    typer.echo(printable(scores_line(file.name, scored)))
    for note in scored.scores.notes:
        typer.echo(printable(note))
