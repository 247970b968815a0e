"""The command `halluc sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def sweep(
    config: Annotated[
        Path | None, typer.Option(help="YAML with the fields below; options win.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Default: glyph.")] = None,
    model_args: Annotated[
        str | None, typer.Option(help="How it is loaded: dtype=bfloat16,device=cuda")
    ] = None,
    method: Annotated[str | None, typer.Option(help="Whose parameters vary.")] = None,
    method_args: Annotated[str | None, typer.Option(help="Those held fixed.")] = None,
    sweep: Annotated[
        list[str] | None,
        typer.Option(help="keep=0.2,0.4 or rho=0.3:0.9:0.2 or layers=0-8,8-16; again for more."),
    ] = None,
    benchmarks: Annotated[str | None, typer.Option(help="Default: glyph_chair.")] = None,
    benchmark_args: Annotated[str | None, typer.Option(help="As in 'halluc eval'.")] = None,
    limit: Annotated[
        int | None, typer.Option(help="Images of each benchmark, of each part.")
    ] = None,
    gen_kwargs: Annotated[
        str | None,
        typer.Option(help="Decoding of the method and the baseline: do_sample=true,num_beams=5."),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Default: what fits.")] = None,
    seeds: Annotated[str | None, typer.Option(help="0,1,2 where answers are drawn.")] = None,
    search: Annotated[str | None, typer.Option(help="grid (default) or tpe, by Optuna.")] = None,
    trials: Annotated[int | None, typer.Option(help="Of a search; default: 30.")] = None,
    objective: Annotated[
        str | None, typer.Option(help="benchmark.metric; default: the first headline metric.")
    ] = None,
    constraint: Annotated[
        list[str] | None, typer.Option(help="glyph_chair.recall>=0.7; again for more.")
    ] = None,
    tune_share: Annotated[
        float | None, typer.Option(help="Of images to tune on; 0: tune and report on all.")
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option(help="A file of 'halluc calibrate'; default: the newest.")
    ] = None,
    figures: Annotated[Path | None, typer.Option(help="Default: the sweep's folder.")] = None,
    output_dir: Annotated[Path, typer.Option(help="Its folder sweeps/ is used.")] = Path("runs"),
) -> None:
    """Vary a method's parameters: tune on some images, report the best point on others."""
    given: dict[str, Any] = {
        "model": model, "model_args": model_args, "method": method, "method_args": method_args,
        "sweep": sweep or None, "benchmarks": benchmarks, "benchmark_args": benchmark_args,
        "limit": limit,
        "gen_kwargs": gen_kwargs, "batch_size": batch_size, "seeds": seeds, "search": search,
        "trials": trials, "objective": objective, "constraint": constraint or None,
        "tune_share": tune_share,
    }  # fmt: skip
    from halluc.models.names import locate
    from halluc.sweep.optuna_search import require_optuna
    from halluc.sweep.sweep_config import load

    asked = load(config, {key: value for key, value in given.items() if value is not None})
    locate(asked.model)
    if asked.search == "tpe":
        require_optuna()
    from rich.console import Console

    from halluc.sweep import sweep_files as report
    from halluc.sweep.running import run_sweep
    from halluc.sweep.sweep_figures import draw
    from halluc.sweep.sweep_table import legend, tables

    done = run_sweep(asked, output_dir, calibration=calibration)
    console = Console()
    for table in tables(done):
        console.print(table)
    for line in (legend(done), *report.notes(done)):
        console.print(line, highlight=False, markup=False)
    files = report.write(done)
    try:
        files += draw(done, figures or done.folder)
    except ImportError:
        console.print("No figures: pip install 'halluc[sweep]' has what draws them.", markup=False)
    for file in files:
        console.print(str(file), highlight=False, markup=False, soft_wrap=True)
