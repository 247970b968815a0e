"""The command `halluc score`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from halluc.cli.options import ChairTables, GroundTruth, Json, print_json, typed_options
from halluc.cli.printing import show
from halluc.errors import UserError
from halluc.plain_text import printable


def score_command(
    run: Annotated[Path | None, typer.Argument(help="Run folder to score again.")] = None,
    answers: Annotated[
        Path | None, typer.Option(help="Answers file in the format of the benchmark's authors.")
    ] = None,
    benchmark: Annotated[
        str | None,
        typer.Option(help="Benchmark the answers file is of; for a run, the only one to score."),
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option(help="Question or annotation file; for POPE also 'repope'. Repeatable."),
    ] = None,
    ground_truth: GroundTruth = None,
    chair_tables: ChairTables = None,
    judge: Annotated[
        str | None, typer.Option(help="Model that judges: endpoint:MODEL or local:MODEL.")
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(help="Protocol to score by; for a run also 'all', side by side."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Score answers that are kept, or a file of any harness, without a model; keep the scores."""
    from halluc.cli.score_tables import as_json as described
    from halluc.cli.score_tables import tables
    from halluc.scoring.pope.relabelling import label_files
    from halluc.scoring.rescoring import score_answers_file
    from halluc.store import RunFolder
    from halluc.store.rescoring_runs import rescore

    if (run is None) == (answers is None):
        raise UserError("give a run folder, or --answers FILE with --benchmark NAME")
    options = typed_options(protocol=protocol, tables=chair_tables, judge=judge)
    if run is not None:
        if ground_truth is not None:
            raise UserError("--ground-truth goes with --answers; a run has its own")
        folder = RunFolder.read(run)
        scores = described(rescore(folder, options, benchmark, label_files(labels or ())))
        whose = printable(f"{folder.asker.method.name} on {folder.asker.model_id} ({run})")
    elif benchmark is None or answers is None:
        raise UserError("--answers needs --benchmark: whose format is it?")
    else:
        scores = score_answers_file(benchmark, options, answers, labels or (), ground_truth)
        whose = printable(answers)
    if as_json:
        print_json(scores)
        return
    show(*tables(scores, whose))
