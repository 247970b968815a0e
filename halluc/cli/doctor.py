"""The command `halluc doctor`."""

from __future__ import annotations

import typer

from halluc.cli.options import (
    Device,
    Dtype,
    Json,
    Model,
    ModelArgs,
    Revision,
    model_config,
    print_json,
)
from halluc.cli.printing import show


def doctor_command(
    model: Model = "glyph",
    model_args: ModelArgs = "",
    revision: Revision = None,
    dtype: Dtype = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Check this machine and what halluc promises of a model; exit with 1 if a check fails."""
    config = model_config(model, model_args, revision, dtype, device)
    from halluc.doctor import examine

    report = examine(config)
    if as_json:
        print_json(report.as_json())
    else:
        from halluc.doctor.doctor_table import tables

        show(*tables(report))
    if not report.healthy:
        raise typer.Exit(1)
