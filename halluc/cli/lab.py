"""The command `halluc lab`: list experiments, run some of them, write a page about them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from halluc.cli.evaluate import methods_of
from halluc.cli.options import (
    Device,
    Dtype,
    Json,
    Model,
    ModelArgs,
    Revision,
    model_config,
    print_json,
)
from halluc.cli.printing import say, show
from halluc.config import BASELINE
from halluc.errors import UserError

if TYPE_CHECKING:
    from halluc.lab.report import Report

ALL = "all"


def lab_command(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Experiments to run, or all; default: list what there is."),
    ] = None,
    model: Model = "glyph",
    methods: Annotated[
        str,
        typer.Option(
            help="Methods to compare, separated by commas; default: the experiment's own."
        ),
    ] = "",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Number of scenes; default: the experiment's own.")
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Seed of sampled answers and of the intervals' resampling.")
    ] = 0,
    figures: Annotated[
        Path | None, typer.Option(help="Folder for the figures; default: the output folder.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(help="File for a page: a section for each experiment.")
    ] = None,
    as_json: Json = False,
    model_args: ModelArgs = "",
    revision: Revision = None,
    dtype: Dtype = None,
    device: Device = None,
    output_dir: Annotated[
        Path, typer.Option(help="Folder for the tables and for the answers that are asked for.")
    ] = Path("runs/lab"),
) -> None:
    """Run controlled experiments on drawn scenes; say whether papers' claims hold here."""
    from halluc.lab.base import EXPERIMENTS

    if not names:
        _list(as_json)
        return
    wanted = EXPERIMENTS.names() if ALL in names else list(dict.fromkeys(names))
    experiments = [EXPERIMENTS.get(name)() for name in wanted]
    compared = [name for name in methods_of(methods) if name != BASELINE] if methods else None
    config = model_config(model, model_args, revision, dtype, device)
    _check_places(output_dir, figures, markdown)
    from halluc.files import write_whole
    from halluc.lab.base import Setting
    from halluc.lab.report import Report
    from halluc.lab.report_page import page
    from halluc.models import load_model
    from halluc.store.run_folder import writing

    loaded, reports = load_model(**config.model_dump()), []
    refused: dict[str, str] = {}
    for experiment in experiments:
        given = experiment.methods if compared is None or not experiment.methods else compared
        setting = Setting(
            model=loaded,
            methods=tuple(given),
            scenes=limit or experiment.scenes,
            seed=seed,
            output_dir=output_dir,
            config=config,
        )
        try:
            found = experiment.run(setting)
        except UserError as error:  # the others may fit this model all the same
            refused[experiment.name] = str(error)
            continue
        report = Report.of(experiment, setting, found)
        report.write(output_dir, figures or output_dir)
        reports.append(report)
        if not as_json:
            _print(report)
    if as_json:
        print_json([report.content for report in reports])
    if markdown is not None and reports:
        with writing(markdown):
            write_whole(markdown, page(reports, figures or output_dir, markdown.parent, refused))
    if refused:
        raise UserError("; ".join(f"{name}: {reason}" for name, reason in refused.items()))


def _check_places(output_dir: Path, figures: Path | None, markdown: Path | None) -> None:
    """Refuse, before anything is asked, places that nothing can be written to."""
    for folder in (output_dir, figures):
        if folder is not None and folder.exists() and not folder.is_dir():
            raise UserError(f"{folder} is a file; give a folder for what the laboratory writes")
    if markdown is not None and not markdown.parent.is_dir():
        raise UserError(f"--markdown {markdown}: there is no folder {markdown.parent}")


def _list(as_json: bool) -> None:
    from halluc.lab.base import EXPERIMENTS

    found = [EXPERIMENTS.get(name) for name in EXPERIMENTS.names()]
    if as_json:
        fields = ("name", "question", "claim", "source", "methods", "scenes")
        print_json([{key: getattr(cls, key) for key in fields} for cls in found])
        return
    table = Table()
    for column in ("name", "question", "source"):
        table.add_column(column, overflow="fold")
    for cls in found:
        table.add_row(cls.name, cls.question, cls.source)
    show(table)


def _print(report: Report) -> None:
    columns, lines = report.table()
    table = Table(title=report.title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for line in lines:
        table.add_row(*line)
    show(table)
    say(report.conclusion)
    for file in report.files:
        typer.echo(str(file))
