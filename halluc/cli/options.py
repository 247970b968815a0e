"""Options that several commands have, and the model they describe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from halluc.config import ModelConfig
from halluc.errors import UserError, needs_packages
from halluc.models.names import endpoint_name, locate
from halluc.validation import checked, key_values

Model = Annotated[
    str, typer.Option(help="Embedded model, hub id, local folder, or openai:NAME for an endpoint.")
]
Revision = Annotated[str | None, typer.Option(help="Revision of a hub model.")]
Dtype = Annotated[
    str | None, typer.Option(help="Type of the weights: auto, float32, bfloat16 or float16.")
]
Device = Annotated[str | None, typer.Option(help="Device: auto, cpu, cuda, cuda:1, ...")]
ModelArgs = Annotated[
    str,
    typer.Option(
        help="How the model is loaded: device_map=auto,quantization=4bit,image_aspect=pad."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print machine-readable JSON.")]
GroundTruth = Annotated[
    Path | None,
    typer.Option(
        help="Objects in each image, for CHAIR: a file, or a folder of COCO's annotations."
    ),
]
ChairTables = Annotated[Path | None, typer.Option(help="File with CHAIR's synonym tables.")]
Protocol = Annotated[
    str | None, typer.Option(help="Protocol to score by: whose scorer reads the answers.")
]
Labels = Annotated[
    list[Path] | None,
    typer.Option(help="Question or annotation file, for labels that the answers lack. Repeatable."),
]
Against = Annotated[
    str,
    typer.Option(help="Baseline to compare with, by its record's name; leave out for a baseline."),
]
RecordName = Annotated[
    str,
    typer.Option(help="Name of the record, as --against of others takes it; default: the file's."),
]
OutputDir = Annotated[Path, typer.Option(help="Folder of run folders.")]
SkipUnfinished = Annotated[
    bool, typer.Option("--skip-unfinished", help="Leave out runs that are not finished.")
]
TablesIn = Annotated[
    Path | None,
    typer.Option(
        "--markdown", help="File to write the tables into, between its leaderboard markers."
    ),
]


def model_config(
    name: str,
    model_args: str,
    revision: str | None = None,
    dtype: str | None = None,
    device: str | None = None,
) -> ModelConfig:
    """Check which model is meant and how it is to be loaded; nothing is loaded yet.

    Raises:
        UserError: If there is no such model, or an option is wrong or given twice.
    """
    typed = key_values(model_args, "--model-args")
    options = typed_options(name=name, revision=revision, dtype=dtype, device=device)
    for key in options.keys() & typed.keys():
        raise UserError(f"--model-args: {key!r} is given twice")
    config = checked(ModelConfig, options | typed, "model")
    if config.quantization is not None:
        needs_packages(f"quantization={config.quantization}", "bitsandbytes", "accelerate")
    if endpoint_name(config.name) is None:
        locate(config.name)
    return config


def typed_options(**options: Any) -> dict[str, Any]:
    """Keep the options that were typed."""
    return {key: value for key, value in options.items() if value is not None}


def print_json(content: Any) -> None:
    """Print JSON for other programs to read."""
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
