"""The `halluc` command: parses, calls, prints. Torch is imported inside commands only."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from halluc.cli import boards as commands
from halluc.cli.sweep_command import sweep
from halluc.config import BASELINE
from halluc.errors import UserError
from halluc.memory import keep_freed_memory

if TYPE_CHECKING:
    from halluc.config import ModelConfig, RunConfig

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Which inference-time methods stop vision-language models from hallucinating?",
)

Model = Annotated[str, typer.Option(help="Embedded model, hub id, local folder or openai:NAME.")]
Revision = Annotated[str | None, typer.Option(help="Revision of a hub model.")]
Dtype = Annotated[str | None, typer.Option(help="auto, float32, bfloat16, float16.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
ModelArgs = Annotated[
    str, typer.Option(help="How it is loaded: device_map=auto,quantization=4bit,image_aspect=pad")
]


@app.command("eval")
def eval_command(
    model: Model = "glyph",
    method: Annotated[str, typer.Option(help="Method; 'halluc list methods'.")] = BASELINE,
    method_args: Annotated[str, typer.Option(help="Its parameters: keep=0.4,rho=0.5")] = "",
    benchmarks: Annotated[str, typer.Option(help="Names, or a family: glyph.")] = "glyph",
    benchmark_args: Annotated[
        str, typer.Option(help="Their options: folder=DIR,pope_coco.prompt=vcd")
    ] = "",
    limit: Annotated[int | None, typer.Option(help="Images of each benchmark.")] = None,
    gen_kwargs: Annotated[str, typer.Option(help="Decoding: do_sample=true,num_beams=5")] = "",
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
        typer.Option(help="A file of 'halluc calibrate'; default: the newest that fits."),
    ] = None,
    model_args: ModelArgs = "",
    revision: Revision = None,
    dtype: Dtype = None,
    device: Device = None,
    output_dir: Annotated[Path, typer.Option(help="Where run folders go.")] = Path("runs"),
) -> None:
    """Evaluate a method and the baseline; print both and their difference."""
    config = _config(
        method=(method, method_args),
        benchmarks=(benchmarks, benchmark_args),
        decoding=gen_kwargs,
        model=_model(model, model_args, revision, dtype, device),
        limit=limit,
        batch_size=batch_size,
        share=share,
    )
    if output_dir.exists() and not output_dir.is_dir():
        raise UserError(f"--output-dir {str(output_dir)!r} is a file; give a folder")
    from rich.console import Console

    from halluc.calibration import find_calibration, read
    from halluc.evaluation import baseline_of, evaluate, open_model
    from halluc.leaderboard import collect, render
    from halluc.scoring.judges.judge_models import NeedsJudge

    loaded = open_model(config)
    wanted = [config] if method == BASELINE or not baseline else [baseline_of(config), config]
    done, unscored = [], list[str]()
    for one in wanted:
        found = None
        if one.method.name != BASELINE:
            file = calibration or find_calibration(output_dir, loaded.fingerprint, one.method.name)
            found = read(file) if file else None
        try:
            done.append(evaluate(one, output_dir, model=loaded, calibration=found, workers=workers))
        except NeedsJudge as refusal:  # the method is answered all the same
            unscored.append(str(refusal))
    if unscored:
        raise UserError("; ".join(unscored))
    console = Console()
    for table in render(collect([run.folder.path for run in done])):
        console.print(table)
    for run in done:
        console.print(f"{run.folder.path}", highlight=False, soft_wrap=True)


@app.command()
def calibrate(
    method: Annotated[str, typer.Option(help="Whose parameters to measure.")],
    model: Model = "glyph",
    model_args: ModelArgs = "",
    method_args: Annotated[str, typer.Option(help="Parameters held fixed meanwhile.")] = "",
    images: Annotated[Path | None, typer.Option(help="Folder of images, unlabelled.")] = None,
    benchmark: Annotated[str | None, typer.Option(help="Benchmark to take samples from.")] = None,
    samples: Annotated[int, typer.Option(min=2, help="How many.")] = 16,
    recalibrate: Annotated[bool, typer.Option(help="Also where constants are published.")] = False,
    output_dir: Annotated[Path, typer.Option(help="Runs in it find the result.")] = Path("runs"),
) -> None:
    """Measure what a paper hard-codes for its model; later runs pick the result up."""
    from halluc.interventions.compose import find
    from halluc.models.names import locate
    from halluc.validation import key_values

    params = find(method).parameters(key_values(method_args, "--method-args"))
    wanted = _model(model, model_args)
    locate(model)
    if images is not None and benchmark is not None:
        raise UserError("give --images or --benchmark, not both")
    from halluc.calibration.measuring import run_calibration

    calibration, file = run_calibration(
        find(method), params, wanted, images, benchmark, samples, recalibrate, output_dir
    )
    for key, value in (calibration.params | calibration.report).items():
        typer.echo(f"{key}: {value}")
    typer.echo(str(file))


@app.command()
def doctor(
    model: Model = "glyph",
    model_args: ModelArgs = "",
    revision: Revision = None,
    dtype: Dtype = None,
    device: Device = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Check what is promised of a model, and what is there to run it on; exit 1 if it fails."""
    from halluc.models.names import endpoint_name, locate

    wanted = _model(model, model_args, revision, dtype, device)
    if endpoint_name(wanted.name) is None:
        locate(wanted.name)
    from halluc.doctor import examine

    report = examine(wanted)
    if as_json:
        typer.echo(json.dumps(report.as_json(), indent=2, ensure_ascii=False))
    else:
        from rich.console import Console

        from halluc.doctor.doctor_table import tables

        console = Console()
        for table in tables(report):
            console.print(table)
            console.print()
    if not report.healthy:
        raise typer.Exit(1)


@app.command("list")
def list_command(
    what: Annotated[Literal["methods", "benchmarks", "models"], typer.Argument()],
    as_json: commands.Json = False,
) -> None:
    """Show what there is to choose from."""
    from halluc.cli.catalogue import listing, table

    rows = listing(what)
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    from rich.console import Console

    Console().print(table(what, rows))


@app.command()
def score(
    run: Annotated[Path | None, typer.Argument(help="A run folder to rescore.")] = None,
    answers: Annotated[Path | None, typer.Option(help="Answers in the official format.")] = None,
    benchmark: Annotated[
        str | None, typer.Option(help="Whose format that is; of a run, the only one to score.")
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option(help="Question or annotation file; for POPE also 'repope'; repeatable."),
    ] = None,
    ground_truth: commands.GroundTruth = None,
    chair_tables: commands.ChairTables = None,
    judge: Annotated[str | None, typer.Option(help="endpoint:MODEL or local:MODEL.")] = None,
    protocol: Annotated[
        str | None, typer.Option(help="Whose scorer; of a run also 'all', side by side.")
    ] = None,
    as_json: commands.Json = False,
) -> None:
    """Score stored answers, or an answers file of any harness, without a model."""
    from halluc.scoring.rescoring import of_files, of_run, tables

    if (run is None) == (answers is None):
        raise UserError("give a run folder, or --answers FILE with --benchmark NAME")
    given = {"protocol": protocol, "tables": chair_tables, "judge": judge}
    options = {key: value for key, value in given.items() if value is not None}
    if run is not None:
        if ground_truth is not None:
            raise UserError("--ground-truth goes with --answers; a run has its own")
        found = of_run(run, options, benchmark, labels or ())
    elif benchmark is None or answers is None:
        raise UserError("--answers needs --benchmark: whose format is it?")
    else:
        found = of_files(benchmark, options, answers, labels or (), ground_truth)
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    from rich.console import Console

    for table in tables(found):
        Console().print(table)


@app.command("build")
def build_command(
    what: Annotated[Literal["pope"], typer.Argument(help="The benchmark to build.")],
    objects: Annotated[Path, typer.Option(help="Objects per image, or COCO's instances JSON.")],
    output: Annotated[Path, typer.Option(help="Folder for the question files.")] = Path("pope"),
    images: Annotated[Path | None, typer.Option(help="Ask only about images in here.")] = None,
    seed: Annotated[int, typer.Option(help="Of the draw of images.")] = 0,
    n: Annotated[int, typer.Option(min=1, help="Images.")] = 500,
    template: Annotated[
        str, typer.Option(help="corrected, or official with its typo.")
    ] = "corrected",
    chat: Annotated[bool, typer.Option("--chat", help="One conversation an image.")] = False,
) -> None:
    """Build POPE's question files from any object annotations."""
    from halluc.scoring.pope.question_files import build_files

    for path in build_files(objects, output, images, seed, n, template, chat):
        typer.echo(str(path))


for command in (sweep, commands.compare, commands.power, commands.leaderboard, commands.export):
    app.command()(command)


def _model(
    name: str,
    model_args: str,
    revision: str | None = None,
    dtype: str | None = None,
    device: str | None = None,
) -> ModelConfig:
    """Check how the model is to be loaded."""
    from halluc.config import ModelConfig
    from halluc.validation import checked, key_values

    typed = key_values(model_args, "--model-args")
    options = {"name": name, "revision": revision, "dtype": dtype, "device": device}
    given = {key: value for key, value in options.items() if value is not None}
    for key in given.keys() & typed.keys():
        raise UserError(f"--model-args: {key!r} is given twice")
    return checked(ModelConfig, given | typed, "model")


def _config(
    method: tuple[str, str],
    benchmarks: tuple[str, str],
    decoding: str,
    model: ModelConfig,
    **rest: Any,
) -> RunConfig:
    """Check everything the user typed; nothing heavy is loaded and nothing written before that."""
    from halluc.config import DecodingConfig, MethodConfig, RunConfig
    from halluc.interventions.compose import find
    from halluc.models.names import endpoint_name, locate
    from halluc.scoring.building import benchmark_names, build, by_benchmark
    from halluc.validation import checked, key_values

    name, params = method[0], key_values(method[1], "--method-args")
    find(name).parameters(params)
    if endpoint_name(model.name) is None:
        locate(model.name)
    names = benchmark_names(benchmarks[0])
    options = by_benchmark(names, key_values(benchmarks[1], "--benchmark-args"))
    for benchmark in names:
        build(benchmark, options.get(benchmark))
    values = {
        "model": model,
        "method": MethodConfig(name=name, params=params),
        "benchmarks": names,
        "benchmark_args": options,
        "decoding": checked(DecodingConfig, key_values(decoding, "--gen-kwargs"), "--gen-kwargs"),
    }
    return checked(RunConfig, values | rest, "eval")


def main() -> None:
    """Run the command line; an error the user can mend is one line and exit code 2."""
    keep_freed_memory()
    try:
        app()
    except UserError as error:
        print(f"halluc: {error}", file=sys.stderr)
        sys.exit(2)
