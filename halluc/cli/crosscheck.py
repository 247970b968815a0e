"""The command `halluc crosscheck`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from halluc.cli.options import Device, Dtype, Json, ModelArgs, print_json, typed_options
from halluc.cli.printing import show
from halluc.cli.quiet_and_verbose import progress_console
from halluc.errors import UserError
from halluc.validation import checked, key_values


def crosscheck_command(
    targets: Annotated[
        str,
        typer.Option(
            help="Systems to check, MODEL or MODEL:METHOD, separated by commas: glyph,glyph:var."
        ),
    ],
    evidence: Annotated[
        str, typer.Option(help="Systems that they are checked against, written the same way.")
    ],
    benchmark: Annotated[
        str, typer.Option(help="Benchmark that asks for descriptions.")
    ] = "glyph_chair",
    benchmark_args: Annotated[
        str, typer.Option(help="Options of the benchmark: folder=DIR,prompt=pai.")
    ] = "",
    limit: Annotated[int | None, typer.Option(help="Number of images; default: all.")] = None,
    samples_per_model: Annotated[
        int, typer.Option(help="Passages that each evidence system samples about an image.")
    ] = 5,
    temperature: Annotated[
        float, typer.Option(help="Temperature at which passages are sampled.")
    ] = 1.0,
    judge: Annotated[
        str,
        typer.Option(
            help="Who says whether a passage supports a sentence: endpoint:MODEL or local:MODEL; "
            "objects compares the objects they name, without a model."
        ),
    ] = "objects",
    question: Annotated[
        str | None,
        typer.Option(
            help="Implicit question, with {sentence} in it; objects asks about each object that is "
            "named. Default: objects on drawn scenes, elsewhere the paper's wording."
        ),
    ] = None,
    variant: Annotated[
        str,
        typer.Option(
            help="Whose definition counts: paper, or official_code, which sums over passages, "
            "leaves the target in the evidence and negates scores."
        ),
    ] = "paper",
    model_args: ModelArgs = "",
    dtype: Dtype = None,
    device: Device = None,
    output_dir: Annotated[
        Path, typer.Option(help="Folder of runs; passages go into its crosscheck/.")
    ] = Path("runs"),
    output: Annotated[
        Path | None, typer.Option(help="File to write scores and correlations to, as JSON.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(help="File to write a page about them to.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check what systems describe against other systems, and correlate the scores with CHAIR."""
    from halluc.crosscheck.crosscheck_config import CrossCheckConfig

    typed = key_values(model_args, "--model-args")
    options = typed_options(dtype=dtype, device=device)
    for key in options.keys() & typed.keys():
        raise UserError(f"--model-args: {key!r} is given twice")
    config = checked(
        CrossCheckConfig,
        {
            "targets": targets,
            "evidence": evidence,
            "benchmark": benchmark,
            "benchmark_args": key_values(benchmark_args, "--benchmark-args"),
            "limit": limit,
            "samples_per_model": samples_per_model,
            "temperature": temperature,
            "judge": judge,
            "question": question,
            "variant": variant,
            "model_args": options | typed,
        },
        "crosscheck",
    )
    if output_dir.exists() and not output_dir.is_dir():
        raise UserError(f"--output-dir {str(output_dir)!r} is a file; give a folder")
    from halluc.crosscheck import crosscheck_table as shown
    from halluc.crosscheck.asking_systems import Place
    from halluc.crosscheck.crosscheck_page import write_page
    from halluc.crosscheck.running import run_crosscheck
    from halluc.files import write_json
    from halluc.interruption import Stop
    from halluc.models.names import endpoint_name

    models = {one.model for one in (*config.targets, *config.evidence)}
    stop = Stop(at_once=any(endpoint_name(name) is not None for name in models))
    found = run_crosscheck(config, Place(output_dir, progress_console(), stop))
    content = shown.as_json(found)
    for file in (output_dir / "crosscheck" / f"{benchmark}_{found.rule.key}.json", output):
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_json(file, content)
    if markdown is not None:
        write_page(found, markdown)
    if as_json:
        print_json(content)
        return
    show(*shown.render(found))
