"""The command `halluc show`: answers of a run next to the baseline's, or a method."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from halluc.cli.options import Json, print_json
from halluc.cli.printing import say, show
from halluc.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

METHOD = "method"


def show_command(
    what: Annotated[str, typer.Argument(help="Run folder; or the word method, before a name.")],
    name: Annotated[str | None, typer.Argument(help="Method to show.")] = None,
    changed: Annotated[
        bool, typer.Option("--changed", help="Only answers that differ from the baseline's.")
    ] = False,
    wrong: Annotated[bool, typer.Option("--wrong", help="Only wrong answers.")] = False,
    benchmark: Annotated[str | None, typer.Option(help="Only answers to this benchmark.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most answers of a benchmark to show.")] = 20,
    as_json: Json = False,
) -> None:
    """Show a run's answers next to the baseline's, made-up objects marked; or what a method is."""
    if what == METHOD:
        if name is None:
            raise UserError("which method? as in 'halluc show method var'")
        from halluc.cli.catalogue import described
        from halluc.interventions.compose import find

        find(name)
        if as_json:
            print_json(described(name))
            return
        show(*_method(described(name)))
        return
    if name is not None:
        raise UserError(f"'halluc show {what} {name}': give a run folder alone, or 'method NAME'")
    from halluc.cli.shown_answers import samples, texts

    found = samples(Path(what), changed, wrong, benchmark)
    if as_json:
        print_json({key: [one.as_json() for one in ones] for key, ones in found.items()})
        return
    for key, ones in found.items():
        for text in texts(ones[:limit]):
            show(text)
        more = f", {limit} shown; --limit shows more" * (len(ones) > limit)
        say(f"{key}: {len(ones)} answers{more}")


def _parameter(one: Mapping[str, Any], varies: bool) -> tuple[str, str]:
    """Return a parameter's default, and what it is with the values to choose from.

    Args:
        varies: Whether the method has variants, which may fill in a default, too.
    """
    what = one["what"] or ""
    if one["default"] is None and "None:" not in what:
        default = "by model or variant" if varies else "by model"
    else:
        default = str(one["default"])
    known = ", ".join(map(str, one["choices"]))
    return default, "; ".join(filter(None, (what, known and f"one of {known}")))


def _method(about: Mapping[str, Any]) -> Iterator[Any]:
    from rich.table import Table
    from rich.text import Text

    yield Text.assemble((about["name"], "bold"), f": {about['title']}")
    yield Text(", ".join(str(about[key]) for key in ("authors", "venue", "year") if about[key]))
    for key in ("paper", "code", "kind", "passes", "needs"):
        value = about[key]
        if value and value != "-":
            yield Text(f"{key}: {', '.join(value) if isinstance(value, list | tuple) else value}")
    if about["parameters"]:
        table = Table(title=Text("parameters", "bold"))
        for column in ("name", "default", "what"):
            table.add_column(column)
        for key, one in about["parameters"].items():
            table.add_row(*map(Text, (key, *_parameter(one, bool(about["variants"])))))
        yield Text()
        yield table
    for deviation in about["deviations"]:
        yield Text(f"differs: {deviation}")
