"""`halluc report` and `halluc view`: runs as one page, from disk or served as they grow."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report_command(
    places: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Run folders, folders of them, and what 'halluc attend' wrote; default: runs."
        ),
    ] = None,
    output: Annotated[Path, typer.Option(help="File to write the page to.")] = Path("report.html"),
    title: Annotated[str, typer.Option(help="Heading of the page.")] = "halluc",
    samples: Annotated[
        int, typer.Option(min=0, help="Most samples of each benchmark that are shown.")
    ] = 10_000,
    thumbnails: Annotated[
        bool, typer.Option("--thumbnails/--no-thumbnails", help="Put images into the file.")
    ] = True,
) -> None:
    """Write one page: board, samples, attention; it opens without a server or network."""
    from halluc.report.html_page import write_report

    size = write_report(places or [Path("runs")], output, title, samples, thumbnails)
    typer.echo(f"{output}: {size / 1e6:.1f} MB")


def view_command(
    places: Annotated[
        list[Path] | None,
        typer.Argument(help="Run folders, or folders of run folders; default: runs."),
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on this machine; 0 takes a free one.")
    ] = 8765,
    title: Annotated[str, typer.Option(help="Heading of the page.")] = "halluc",
    samples: Annotated[
        int, typer.Option(min=0, help="Most samples of each benchmark that are shown.")
    ] = 10_000,
) -> None:
    """Serve the report to this machine alone; the page follows as runs grow. Ctrl-C ends it."""
    from halluc.report.serving import ReportServer

    with ReportServer(places or [Path("runs")], port, title, samples) as server:
        typer.echo(f"{server.address} (Ctrl-C ends it)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            typer.echo("ended")
