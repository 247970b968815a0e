"""The command `halluc list`; it imports no torch."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal, get_args

import typer
from rich.table import Table

from halluc.cli.options import Json, print_json
from halluc.cli.printing import show, window
from halluc.errors import UserError
from halluc.interventions import REGISTRY as METHODS
from halluc.interventions import Cost
from halluc.models.names import EMBEDDED
from halluc.scoring.base import REGISTRY as BENCHMARKS


def list_command(
    what: Annotated[
        Literal["methods", "benchmarks", "models"], typer.Argument(help="What to list.")
    ],
    ready: Annotated[
        bool, typer.Option("--ready", help="Only benchmarks whose data is on this machine.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List what there is to choose from."""
    rows = listing(what)
    if ready:
        if what != "benchmarks":
            raise UserError(f"--ready goes with 'halluc list benchmarks', not with {what}")
        from halluc.doctor.machine import data

        states = {name: one["state"] for name, one in data()["benchmarks"].items()}
        rows = [row for row in rows if states[row["name"]] in ("drawn", "cached")]
    if as_json:
        print_json(rows)
    else:
        show(table(what, rows, window().width))
        if what == "methods":
            show("'halluc show method NAME' tells what a method needs and its parameters.")


def listing(what: str) -> list[dict[str, Any]]:
    """Describe all methods, benchmarks or embedded models, as JSON can hold them."""
    return {"methods": _methods, "benchmarks": _benchmarks, "models": _models}[what]()


WIDE = 120
"""The number of characters from which what a method needs is listed."""


def table(what: str, rows: list[dict[str, Any]], width: int = WIDE) -> Table:
    """Make a table of the columns that people want first.

    Args:
        width: Of the window, in characters.
    """
    columns = {
        "methods": ("name", "kind", "passes", *("needs", "variants") * (width >= WIDE), "paper"),
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
    return [described(name) for name in METHODS.names()]


def described(name: str) -> dict[str, Any]:
    """Describe a method, as JSON can hold it.

    Raises:
        UserError: If it is unknown.
    """
    cls = METHODS.get(name)
    fields = cls.Params.model_fields
    variant = fields.get("variant")
    return {
        "name": name,
        "kind": list(cls.kinds()),
        "passes": passes(cls.card.cost),
        "variants": list(get_args(variant.annotation)) if variant else [],
        **asdict(cls.card),
        "cost": cls.card.cost._asdict(),
        "seams": list(cls.declared()),
        "parameters": {
            key: {"default": field.default, "what": field.description}
            for key, field in fields.items()
        },
        "noop": cls.noop,
    }


def passes(cost: Cost) -> str:
    """Describe a cost in forward passes: "2 a token, 1 a prompt"."""
    parts = (cost.token, "token"), (cost.prompt, "prompt")
    told = [f"{n} a {what}" for n, what in parts if n]
    if cost.token is None or cost.prompt is None:
        told.append("more, by the answer")
    return ", ".join(told)


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
    if isinstance(value, str):
        return value.replace("https://openreview.net/forum?id=", "OpenReview:")
    if isinstance(value, dict):
        return ", ".join(f"{key}={inner}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)
