"""The command `halluc eval`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from halluc.cli.options import Device, Dtype, Model, ModelArgs, Revision, model_config
from halluc.config import BASELINE, DecodingConfig, MethodConfig, RunConfig
from halluc.errors import UserError
from halluc.interventions.compose import find
from halluc.scoring.building import benchmark_names, build, by_benchmark
from halluc.validation import checked, key_values


def eval_command(
    model: Model = "glyph",
    method: Annotated[
        str, typer.Option(help="Method, or several joined by +; see 'halluc list methods'.")
    ] = BASELINE,
    method_args: Annotated[
        str, typer.Option(help="Parameters of the method: keep=0.4,rho=0.5.")
    ] = "",
    benchmarks: Annotated[
        str, typer.Option(help="Benchmarks or families of them, separated by commas.")
    ] = "glyph",
    benchmark_args: Annotated[
        str, typer.Option(help="Options of the benchmarks: folder=DIR,pope_coco.prompt=vcd.")
    ] = "",
    limit: Annotated[
        int | None, typer.Option(help="Number of images of each benchmark; default: all.")
    ] = None,
    gen_kwargs: Annotated[
        str, typer.Option(help="How tokens are chosen: do_sample=true,num_beams=5.")
    ] = "",
    batch_size: Annotated[
        int | None, typer.Option(help="Most prompts answered together; default: what fits.")
    ] = None,
    share: Annotated[
        bool, typer.Option(help="Compute what prompts have in common once; no answer changes.")
    ] = True,
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="Processes that prepare images; default: 0 on a CPU, else 4."),
    ] = None,
    baseline: Annotated[
        bool, typer.Option(help="Also evaluate the baseline, which uses no method.")
    ] = True,
    calibration: Annotated[
        Path | None,
        typer.Option(help="File of 'halluc calibrate'; default: the newest that fits."),
    ] = None,
    model_args: ModelArgs = "",
    revision: Revision = None,
    dtype: Dtype = None,
    device: Device = None,
    output_dir: Annotated[Path, typer.Option(help="Folder that receives the run folders.")] = Path(
        "runs"
    ),
) -> None:
    """Evaluate a method and the baseline; print both and their difference."""
    parameters = key_values(method_args, "--method-args")
    find(method).parameters(parameters)
    config = _run_config(
        benchmarks,
        benchmark_args,
        model=model_config(model, model_args, revision, dtype, device),
        method=MethodConfig(name=method, params=parameters),
        decoding=checked(DecodingConfig, key_values(gen_kwargs, "--gen-kwargs"), "--gen-kwargs"),
        limit=limit,
        batch_size=batch_size,
        share=share,
    )
    if output_dir.exists() and not output_dir.is_dir():
        raise UserError(f"--output-dir {str(output_dir)!r} is a file; give a folder")
    _evaluate(config, output_dir, baseline, calibration, workers)


def _run_config(benchmarks: str, benchmark_args: str, **values: Any) -> RunConfig:
    """Check everything the user typed; nothing heavy is loaded and nothing written before that."""
    names = benchmark_names(benchmarks)
    options = by_benchmark(names, key_values(benchmark_args, "--benchmark-args"))
    for name in names:
        build(name, options.get(name))
    return checked(RunConfig, values | {"benchmarks": names, "benchmark_args": options}, "eval")


def _evaluate(
    config: RunConfig,
    output_dir: Path,
    baseline: bool,
    calibration: Path | None,
    workers: int | None,
) -> None:
    """Load the model, run the method and the baseline, and print the board of both."""
    from rich.console import Console

    from halluc.calibration import find_calibration, read
    from halluc.evaluation import baseline_of, evaluate, open_model
    from halluc.leaderboard import collect, render
    from halluc.scoring.judges.judge_models import NeedsJudge

    model = open_model(config)
    configs = [config]
    if baseline and config.method.name != BASELINE:
        configs.insert(0, baseline_of(config))
    runs, refusals = [], list[str]()
    for wanted in configs:
        measured = None
        if wanted.method.name != BASELINE:
            file = calibration or find_calibration(
                output_dir, model.fingerprint, wanted.method.name
            )
            measured = read(file) if file else None
        try:
            runs.append(
                evaluate(wanted, output_dir, model=model, calibration=measured, workers=workers)
            )
        except NeedsJudge as refusal:  # the method is answered all the same
            refusals.append(str(refusal))
    if refusals:
        raise UserError("; ".join(refusals))
    console = Console()
    for table in render(collect([run.folder.path for run in runs])):
        console.print(table)
    for run in runs:
        console.print(f"{run.folder.path}", highlight=False, soft_wrap=True)
