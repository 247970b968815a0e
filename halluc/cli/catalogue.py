"""The command `halluc list`; it imports no torch."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import typer
from rich.table import Table

from halluc.cli.options import Json, print_json
from halluc.cli.printing import show, window
from halluc.errors import UserError
from halluc.interventions import REGISTRY as METHODS
from halluc.interventions import Cost
from halluc.models.names import EMBEDDED
from halluc.scoring.base import REGISTRY as BENCHMARKS

if TYPE_CHECKING:
    from collections.abc import Callable


def list_command(
    what: Annotated[
        str, typer.Argument(metavar="WHAT", help="What to list: methods, benchmarks or models.")
    ],
    ready: Annotated[
        bool, typer.Option("--ready", help="Only benchmarks whose data is on this machine.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List what there is to choose from."""
    if what == "runs":
        raise UserError("runs are listed by 'halluc runs list'")
    if what not in _LISTINGS:
        raise UserError(f"nothing to list is called {what!r}: choose from {', '.join(_LISTINGS)}")
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
        screen = window()
        show(table(what, rows, screen.width if screen.is_terminal else None))
        if what == "methods":
            show("'halluc show method NAME' tells what a method needs and its parameters.")


def listing(what: str) -> list[dict[str, Any]]:
    """Describe all methods, benchmarks or embedded models, as JSON can hold them."""
    return _LISTINGS[what]()


WIDE, WIDEST = 120, 180
"""Numbers of characters from which a method's title is listed, and from which all is."""


def table(what: str, rows: list[dict[str, Any]], width: int | None = None) -> Table:
    """Make a table of the columns that people want first.

    Args:
        width: Of the window, in characters; None where there is none, and all is shown.
    """
    columns = {
        "methods": (
            "name",
            *("title",) * (width is None or width >= WIDE),
            "kind",
            "passes",
            *("needs", "variants") * (width is None or width >= WIDEST),
            "paper",
        ),
        "benchmarks": ("name", "title", "task", "licence"),
        "models": ("name", "what"),
    }[what]
    shown = Table()
    for column in columns:
        shown.add_column(column, overflow="fold")
    if what == "methods" and width is not None:  # some titles are as long as the window
        rows = [row | {"title": _cut(row["title"], width // 4)} for row in rows]
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
            key: {
                "default": field.default,
                "choices": choices(field.annotation),
                "what": field.description,
            }
            for key, field in fields.items()
        },
        "noop": cls.noop,
    }


def choices(annotation: Any) -> list[Any]:
    """Return the values that a parameter may have, where its type lists them."""
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return [value for part in get_args(annotation) for value in choices(part)]


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


_LISTINGS: dict[str, Callable[[], list[dict[str, Any]]]] = {
    "methods": _methods,
    "benchmarks": _benchmarks,
    "models": _models,
}


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value.replace("https://openreview.net/forum?id=", "OpenReview:")
    if isinstance(value, dict):
        return ", ".join(f"{key}={inner}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)
