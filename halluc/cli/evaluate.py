"""The command `halluc eval`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
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
from halluc.cli.option_file import Config
from halluc.cli.options import Device, Dtype, Model, ModelArgs, Revision, model_config
from halluc.cli.printing import show, window
from halluc.cli.processes import answer_in_processes, take_own_gpu
from halluc.cli.quiet_and_verbose import progress_console
from halluc.config import BASELINE, DecodingConfig, MethodConfig, RunConfig, baseline_first
from halluc.errors import UserError
from halluc.interventions.compose import find
from halluc.models.names import locate
from halluc.scoring.building import checked_benchmarks
from halluc.validation import checked, key_values

if TYPE_CHECKING:
    from halluc.evaluation import Questions
    from halluc.evaluation.ray_pool import Cluster
    from halluc.evaluation.sharding import Shard


def eval_command(
    config: Config = None,
    model: Model = "glyph",
    method: Annotated[
        str,
        typer.Option(
            help="Methods, separated by commas; those joined by + act at once. "
            "See 'halluc list methods'."
        ),
    ] = BASELINE,
    method_args: Annotated[
        str,
        typer.Option(
            help="Parameters of the method: keep=0.4,rho=0.5; of several methods var.keep=0.4."
        ),
    ] = "",
    benchmarks: Annotated[
        str,
        typer.Option(
            help="Benchmarks or families of them, separated by commas; yes_no:FOLDER for your data."
        ),
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
    seeds: Annotated[
        str | None, typer.Option(help="Seeds of drawn answers, each a run of its own: 0,1,2.")
    ] = None,
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
    shard: Annotated[
        str | None,
        typer.Option(
            help="Part of the images to answer: 3/8 for the third of eight; auto: as a Slurm job "
            "array or torchrun says; none: all. A run without it asks what is missing and scores."
        ),
    ] = None,
    processes: Annotated[
        int,
        typer.Option(min=1, help="Processes on this machine, a shard and a GPU each."),
    ] = 1,
    executor: Executor = "local",
    address: Address = None,
    ray_workers: RayWorkers = None,
    gpus_per_worker: GpusPerWorker = None,
    trace: Annotated[
        int,
        typer.Option(
            min=0,
            help="Number of samples of each benchmark whose attention the report shows; those "
            "that a method answers otherwise come first.",
        ),
    ] = 0,
    model_args: ModelArgs = "",
    revision: Revision = None,
    dtype: Dtype = None,
    device: Device = None,
    output_dir: Annotated[Path, typer.Option(help="Folder that receives the run folders.")] = Path(
        "runs"
    ),
) -> None:
    """Evaluate methods and the baseline; print all and their differences."""
    names = methods_of(method)
    common = _run_config(
        benchmarks,
        benchmark_args,
        model=model_config(model, model_args, revision, dtype, device),
        decoding=checked(DecodingConfig, key_values(gen_kwargs, "--gen-kwargs"), "--gen-kwargs"),
        limit=limit,
        batch_size=batch_size,
        share=share,
    )
    methods = method_configs(names, key_values(method_args, "--method-args"), baseline)
    configs = [
        common.model_copy(update={"method": one, "decoding": decoding})
        for decoding in seeded(common.decoding, seeds)
        for one in methods
    ]
    if output_dir.exists() and not output_dir.is_dir():
        raise UserError(f"--output-dir {str(output_dir)!r} is a file; give a folder")
    cluster = cluster_of(executor, address, ray_workers, gpus_per_worker)
    from halluc.evaluation.sharding import find_shard

    part = find_shard(shard)
    if (part is not None) + (processes > 1) + (cluster is not None) > 1:
        raise UserError(
            "--shard (or a launcher that sets RANK and WORLD_SIZE), --processes and --executor "
            "ray each split the images; use one of them"
        )
    if trace and (part is not None or processes > 1 or cluster is not None):
        raise UserError(
            "--trace looks into the model in one process; once the parts are answered, the same "
            "command without --shard, --processes and --executor traces and asks nothing again"
        )
    if trace:
        locate(configs[0].model.name)  # an endpoint shows no attention
    if part is not None and part.launched and device is None:
        take_own_gpu()
    if processes > 1:
        answer_in_processes(sys.argv[1:], processes)
    _evaluate(configs, output_dir, calibration, workers, part, cluster, trace)


def seeded(decoding: DecodingConfig, text: str | None) -> list[DecodingConfig]:
    """Return a decoding with each of the seeds "0,1,2"; as it is where none are given.

    Raises:
        UserError: If one is no whole number, or no answer is drawn at random.
    """
    if text is None:
        return [decoding]
    seeds = list(dict.fromkeys(part.strip() for part in str(text).split(",") if part.strip()))
    if not seeds or not all(seed.isdecimal() for seed in seeds):
        raise UserError(f"--seeds {text}: give whole numbers, as in 0,1,2")
    if not decoding.do_sample:
        raise UserError(
            "--seeds: answers are not drawn at random, so seeds change nothing; "
            "add --gen-kwargs do_sample=true"
        )
    if "seed" in decoding.model_fields_set:
        raise UserError("--seeds: --gen-kwargs has a seed too; give one of them")
    return [decoding.model_copy(update={"seed": int(seed)}) for seed in seeds]


def methods_of(text: str) -> list[str]:
    """Split "var,vhr+paint" at commas, and check each name.

    Raises:
        UserError: If one is unknown.
    """
    names = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for name in names:
        find(name)
    if not names:
        raise UserError("--method names none; see 'halluc list methods'")
    return names


def method_configs(
    names: Sequence[str], arguments: Mapping[str, Any], baseline: bool
) -> list[MethodConfig]:
    """Return the methods with their parameters, the baseline first.

    Args:
        arguments: Of the one method, or of several as {"var.keep": 0.4}.
        baseline: Add the baseline if it is not among them.

    Raises:
        UserError: If a parameter is wrong, or of no method that is evaluated.
    """
    given: dict[str, dict[str, Any]] = {name: {} for name in names}
    for key, value in arguments.items():
        if len(names) == 1:
            given[names[0]][key] = value
            continue
        name, _, inner = key.partition(".")
        if name not in given or not inner:
            raise UserError(
                f"--method-args: {key!r} is of none of {', '.join(names)}; "
                f"write {names[-1]}.PARAMETER=VALUE"
            )
        given[name][inner] = value
    for name, params in given.items():
        find(name).parameters(params)
    configs = [MethodConfig(name=name, params=params) for name, params in given.items()]
    return baseline_first(configs, baseline)


def _run_config(benchmarks: str, benchmark_args: str, **values: Any) -> RunConfig:
    """Check everything the user typed; nothing heavy is loaded and nothing written before that."""
    names, options = checked_benchmarks(benchmarks, key_values(benchmark_args, "--benchmark-args"))
    return checked(RunConfig, values | {"benchmarks": names, "benchmark_args": options}, "eval")


def _questions(config: RunConfig) -> list[Questions]:
    """Read what all benchmarks ask; missing data is told before a model is loaded."""
    from halluc.evaluation import questions_of

    try:
        return questions_of(config)
    except UserError as error:
        if len(config.benchmarks) == 1:
            raise
        raise UserError(
            f"{error}; or leave it out: --benchmarks means {', '.join(config.benchmarks)} here"
        ) from error


def _evaluate(
    configs: list[RunConfig],
    output_dir: Path,
    calibration: Path | None,
    workers: int | None,
    shard: Shard | None,
    cluster: Cluster | None,
    trace: int = 0,
) -> None:
    """Load the model, run all methods side by side, print the board, and trace some answers."""
    from halluc.cli.run_remarks import remarks
    from halluc.evaluation import calibrations_of, endpoint_of, evaluate_together, open_model
    from halluc.interruption import Stop
    from halluc.leaderboard import board_of, render

    at_endpoint = endpoint_of(configs) is not None
    questions = _questions(configs[0])
    with on_cluster(cluster, configs) as elsewhere:
        model = open_model(configs) if elsewhere is None else None
        if trace:
            from halluc.attend.geometry import refuse_without_places

            refuse_without_places(model)  # type: ignore[arg-type]  # it is here, and no endpoint
        fingerprint = (model or elsewhere).fingerprint  # type: ignore[union-attr]  # one is there
        measured = calibrations_of(configs, output_dir, fingerprint, calibration)
        runs = evaluate_together(
            configs,
            output_dir,
            model=model,
            calibrations=measured,
            workers=workers,
            shard=shard,
            stop=Stop(at_once=at_endpoint),
            elsewhere=elsewhere,
            questions=questions,
            console=progress_console(),
        )
    scored = [one for run in runs for one in run.scored.values()]
    if scored or shard is None:
        show(*render(board_of(scored), window().width))
    for said in remarks(runs):
        window().print(said, soft_wrap=True)
    for run in runs:
        typer.echo(str(run.folder.path))
    if trace:
        from halluc.attend.traced_runs import trace_evaluations

        trace_evaluations(model, questions, runs, trace)  # type: ignore[arg-type]
