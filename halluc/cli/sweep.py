"""The command `halluc sweep`; its options are the fields of `SweepConfig`."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from halluc.cli.cluster import (
    Address,
    Executor,
    GpusPerWorker,
    RayWorkers,
    cluster_of,
    on_cluster,
)
from halluc.cli.options import typed_options
from halluc.cli.printing import say, show
from halluc.cli.quiet_and_verbose import progress_console
from halluc.errors import UserError
from halluc.figure_files import KINDS
from halluc.models.names import locate
from halluc.sweep.config_file import load_sweep
from halluc.sweep.optuna_search import require_optuna
from halluc.sweep.sweep_config import SweepConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic.fields import FieldInfo

REPEATABLE = ("sweep", "constraint")


def _option(name: str, field: FieldInfo) -> inspect.Parameter:
    """Make an option of a field: a number where the field is one, else text."""
    kind: Any = list[str] if name in REPEATABLE else str
    for number in (int, float):
        if field.annotation in (number, number | None):
            kind = number
    default = field.default if isinstance(field.default, str | int | float) else None
    if isinstance(field.default, tuple):
        default = ",".join(map(str, field.default))
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[
            kind | None,
            typer.Option(help=field.description, show_default=str(default or "") or False),
        ],
    )


def _with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Let the fields of `SweepConfig` take the place of the command's `**fields`."""
    signature = inspect.signature(command, eval_str=True)
    file, *others = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    fields = [_option(name, field) for name, field in SweepConfig.model_fields.items()]
    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in (file, *fields, *others)
    ]
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return command


@_with_options
def sweep_command(
    config: Annotated[
        Path | None,
        typer.Option(help="YAML file with the fields below; options on the command line win."),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(help="File of 'halluc calibrate'; default: the newest that fits."),
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(help="Folder for the figures; default: the sweep's own.")
    ] = None,
    figure_format: Annotated[
        str, typer.Option(help="Kind of the figures: png, or pdf and svg for print.")
    ] = "png",
    output_dir: Annotated[
        Path, typer.Option(help="Folder of runs; those of sweeps go into its sweeps/.")
    ] = Path("runs"),
    executor: Executor = "local",
    address: Address = None,
    ray_workers: RayWorkers = None,
    gpus_per_worker: GpusPerWorker = None,
    **fields: Any,
) -> None:
    """Vary a method's parameters: tune on some images, report the best point on others."""
    # An option that may be repeated and was not typed is an empty list.
    typed = {name: None if value == [] else value for name, value in fields.items()}
    sweep = load_sweep(config, typed_options(**typed))
    locate(sweep.model)
    if (ending := f".{figure_format}") not in KINDS:
        raise UserError(f"--figure-format {figure_format!r}: one of png, pdf and svg")
    cluster = cluster_of(executor, address, ray_workers, gpus_per_worker)
    if sweep.search == "tpe":
        require_optuna()
    from halluc.interruption import Stop
    from halluc.sweep.running import run_sweep
    from halluc.sweep.sweep_figures import draw_sweep
    from halluc.sweep.sweep_files import notes, write_sweep
    from halluc.sweep.sweep_table import legend, tables

    with on_cluster(cluster, [sweep.run("tune", next(sweep.points()))]) as elsewhere:
        done = run_sweep(
            sweep,
            output_dir,
            calibration=calibration,
            stop=Stop(),
            elsewhere=elsewhere,
            console=progress_console(),
        )
    show(*tables(done))
    for line in (legend(done), *notes(done)):
        say(line)
    files = write_sweep(done)
    try:
        files += draw_sweep(done, figures or done.folder, ending)
    except ImportError:
        say("No figures: pip install 'halluc[sweep]' installs what draws them.")
    for file in files:
        typer.echo(str(file))
