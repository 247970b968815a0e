"""The page about all experiments: a section each, with its question, table, figure and answer."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from halluc.lab.report import Report


def page(
    reports: Sequence[Report],
    figures: Path,
    folder: Path,
    refused: Mapping[str, str] | None = None,
) -> str:
    """Write the page as markdown.

    Args:
        figures: The folder of the figures.
        folder: The folder the page lies in, from which figures are linked.
        refused: By name, why an experiment could not be run on this model.
    """
    lines = ["# The laboratory", ""]
    models = dict.fromkeys(report.content["model"] for report in reports)
    lines += [
        f"Written by `make lab` on {', '.join(models)}: controlled experiments on drawn scenes, "
        "with 95% intervals that resample scenes. `halluc lab` lists them, and `halluc lab NAME "
        "--model MODEL` runs one on any model.",
        "",
    ]
    lines += _summary(reports)
    for report in reports:
        lines += _section(report, Path(os.path.relpath(figures, folder)))
    for name, reason in (refused or {}).items():
        lines += [f"## {name}", "", f"Not run: {_plain(reason)}.", ""]
    return "\n".join(lines).rstrip() + "\n"


def _summary(reports: Sequence[Report]) -> Iterator[str]:
    yield "| experiment | question | the claim |"
    yield "|---|---|---|"
    for report in reports:
        name, question = report.content["name"], _plain(report.content["question"])
        yield f"| [{name}](#{name}) | {question} | {report.finding.held} |"
    yield ""


def _section(report: Report, figures: Path) -> Iterator[str]:
    about = report.content
    yield f"## {about['name']}"
    yield ""
    yield about["question"]
    yield ""
    if about["claim"]:
        yield f"The claim: {about['claim']} ({about['source']})"
        yield ""
    compared = f", {', '.join(about['methods'])}" if about["methods"] else ""
    yield f"On {about['model']}, {about['scenes']} scenes, seed {about['seed']}{compared}."
    yield ""
    columns, lines = report.table()
    yield f"| {' | '.join(map(_plain, columns))} |"
    yield "|---" * len(columns) + "|"
    for line in lines:
        yield f"| {' | '.join(map(_plain, line))} |"
    yield ""
    drawn = [file for file in report.files if file.suffix == ".png"]
    if drawn:
        yield f"![{about['name']}]({(figures / drawn[0].name).as_posix()})"
        yield ""
    head = (
        "No claim:"
        if report.finding.held == "no claim"
        else f"{report.finding.held.capitalize()} here:"
    )
    yield f"**{head}** {report.finding.because}"
    yield ""


def _plain(text: str) -> str:
    """Escape what markdown would take for a table's column or emphasis."""
    for special in "\\`*|":
        text = text.replace(special, f"\\{special}")
    return text
