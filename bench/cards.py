"""The table of docs/benchmarks.md, from the benchmarks' cards.

    python -m bench.cards --output docs/benchmarks.md

A test holds the page to the cards.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from inspect import getdoc
from pathlib import Path
from typing import Annotated

import typer

from halluc.leaderboard.markdown_tables import insert
from halluc.scoring.base import REGISTRY, Benchmark

COLUMNS = ("name", "title", "task", "what it asks", "questions", "data", "protocols")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def table() -> str:
    """Describe every benchmark in a line."""
    return "\n".join(_row(*cells) for cells in _rows())


def _rows() -> Iterator[tuple[str, ...]]:
    yield COLUMNS
    yield ("---",) * len(COLUMNS)
    for name in REGISTRY.names():
        benchmark = REGISTRY.get(name)()
        card = benchmark.card
        first, _, _ = (getdoc(type(benchmark)) or "").partition("\n")
        size = "-" if card.size is None else f"{card.size[1]} on {card.size[0]} images"
        protocols = ", ".join(benchmark.protocols)
        title = f"[{card.title}]({card.paper})"
        task = card.task.replace("_", "/")
        yield f"`{name}`", title, task, first, size, source(benchmark), protocols


def source(benchmark: Benchmark) -> str:
    """Say where a benchmark's data come from: drawn, fetched, or a folder that a user gives."""
    dataset, parts = benchmark.card.dataset, []
    if dataset == "halluc.world":
        return "drawn"
    if not benchmark.files_needed or getattr(benchmark, "dataset", None):
        parts.append(f"fetched: {f'{dataset} (hub)' if _HUB_ID.fullmatch(dataset) else dataset}")
    if benchmark.files_needed:
        parts.append(f"a folder with {benchmark.files_needed}")
    return "; ".join(parts)


def _row(*cells: str) -> str:
    shown = (cell.replace("|", "&#124;").replace("<", "&lt;") for cell in cells)
    return f"| {' | '.join(shown)} |"


def main(
    output: Annotated[
        Path, typer.Option(help="File to write the table into, between its markers.")
    ] = Path("docs/benchmarks.md"),
) -> None:
    """Write the table of benchmarks into a page."""
    insert(table(), output)


if __name__ == "__main__":
    typer.run(main)
