"""The command `halluc list`; it imports no torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

from halluc.cli.options import Json, print_json
from halluc.interventions import REGISTRY as METHODS
from halluc.models.names import EMBEDDED
from halluc.scoring.base import REGISTRY as BENCHMARKS


def list_command(
    what: Annotated[
        Literal["methods", "benchmarks", "models"], typer.Argument(help="What to list.")
    ],
    as_json: Json = False,
) -> None:
    """List what there is to choose from."""
    rows = listing(what)
    if as_json:
        print_json(rows)
    else:
        Console().print(table(what, rows))


def listing(what: str) -> list[dict[str, Any]]:
    """Describe all methods, benchmarks or embedded models, as JSON can hold them."""
    return {"methods": _methods, "benchmarks": _benchmarks, "models": _models}[what]()


def table(what: str, rows: list[dict[str, Any]]) -> Table:
    """Make a table of the columns that people want first."""
    columns = {
        "methods": ("name", "title", "venue", "seams", "parameters"),
        "benchmarks": ("name", "title", "task", "licence"),
        "models": ("name", "what"),
    }[what]
    shown = Table()
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in rows:
        shown.add_row(*(_text(row[column]) for column in columns))
    return shown


def _methods() -> list[dict[str, Any]]:
    rows = []
    for name in METHODS.names():
        cls = METHODS.get(name)
        card = cls.card
        fields = cls.Params.model_fields
        rows.append(
            {
                "name": name,
                "title": card.title,
                "authors": card.authors,
                "venue": f"{card.venue} {card.year}" if card.year else card.venue,
                "paper": card.paper,
                "code": card.code,
                "seams": list(cls.declared()),
                "parameters": {key: field.default for key, field in fields.items()},
                "deviations": list(card.deviations),
            }
        )
    return rows


def _benchmarks() -> list[dict[str, Any]]:
    rows = []
    for name in BENCHMARKS.names():
        card = BENCHMARKS.get(name).card
        rows.append(
            {
                "name": name,
                "title": card.title,
                "task": card.task,
                "paper": card.paper,
                "licence": card.licence,
                "dataset": card.dataset,
                "revision": card.revision,
                "metrics": [metric.name for metric in card.metrics],
            }
        )
    return rows


def _models() -> list[dict[str, Any]]:
    rows = [{"name": name, "what": what} for name, what in EMBEDDED.items()]
    return [
        *rows,
        {"name": "<org>/<name>", "what": "any image-text-to-text model of the Hugging Face hub"},
        {
            "name": "openai:<name>",
            "what": "a model behind an OpenAI-compatible endpoint; baseline only",
        },
    ]


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={inner}" for key, inner in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)
