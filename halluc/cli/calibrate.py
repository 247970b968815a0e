"""The command `halluc calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from halluc.cli.options import Model, ModelArgs, model_config
from halluc.errors import UserError
from halluc.interventions.compose import find
from halluc.models.names import locate
from halluc.validation import key_values


def calibrate_command(
    method: Annotated[str, typer.Option(help="Method whose parameters are measured.")],
    model: Model = "glyph",
    model_args: ModelArgs = "",
    method_args: Annotated[
        str, typer.Option(help="Parameters that are held fixed meanwhile: keep=0.4.")
    ] = "",
    images: Annotated[
        Path | None, typer.Option(help="Folder of unlabelled images to measure on.")
    ] = None,
    benchmark: Annotated[
        str | None, typer.Option(help="Benchmark to take samples from instead.")
    ] = None,
    samples: Annotated[int, typer.Option(min=2, help="Number of samples to measure on.")] = 16,
    recalibrate: Annotated[
        bool, typer.Option(help="Measure even where constants are published.")
    ] = False,
    output_dir: Annotated[
        Path, typer.Option(help="Folder for the result; runs in it use it.")
    ] = Path("runs"),
) -> None:
    """Measure what a paper hard-codes for its model; later runs use the result."""
    parameters = find(method).parameters(key_values(method_args, "--method-args"))
    config = model_config(model, model_args)
    locate(config.name)  # an endpoint has no weights to measure
    if images is not None and benchmark is not None:
        raise UserError("give --images or --benchmark, not both")
    from halluc.calibration.measuring import run_calibration

    calibration, file = run_calibration(
        find(method), parameters, config, images, benchmark, samples, recalibrate, output_dir
    )
    for key, value in (calibration.params | calibration.report).items():
        typer.echo(f"{key}: {value}")
    typer.echo(str(file))
