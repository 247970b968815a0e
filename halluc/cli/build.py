"""The command `halluc build`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def build_command(
    what: Annotated[Literal["pope"], typer.Argument(help="Benchmark to build.")],
    objects: Annotated[
        Path, typer.Option(help="File with the objects in each image, or COCO's instances JSON.")
    ],
    output: Annotated[Path, typer.Option(help="Folder for the question files.")] = Path("pope"),
    images: Annotated[
        Path | None, typer.Option(help="Folder of images; ask about no others.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the random choice of images.")] = 0,
    n: Annotated[int, typer.Option(min=1, help="Number of images to ask about.")] = 500,
    template: Annotated[
        str, typer.Option(help="Wording: corrected, or official with its typo.")
    ] = "corrected",
    chat: Annotated[
        bool, typer.Option("--chat", help="Ask about an image in one conversation.")
    ] = False,
) -> None:
    """Build POPE's question files from any object annotations."""
    from halluc.scoring.pope.question_files import build_files

    for path in build_files(objects, output, images, seed, n, template, chat):
        typer.echo(str(path))
    if not chat:
        place = images or "FOLDER"
        ask = f"halluc eval --benchmarks own_pope:{output} --benchmark-args images={place}"
        typer.echo(f"ask them with: {ask}", err=True)
