"""`--config FILE.yaml`: a file that says what a command's options say; options typed win."""

from __future__ import annotations

import inspect
import json
import types
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import typer
from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from halluc.errors import UserError
from halluc.suggestions import did_you_mean
from halluc.validation import shown


def _load(context: typer.Context, file: Path | None) -> Path | None:
    """Let what the file says stand in for the defaults of the options."""
    if file is not None and not context.resilient_parsing:
        context.default_map = {**(context.default_map or {}), **read_options(file, context.command)}
    return file


Config = Annotated[
    Path | None,
    typer.Option(
        callback=_load,
        is_eager=True,
        help="YAML file with the options below as keys; options on the command line win.",
    ),
]


def read_options(file: Path, command: Any) -> dict[str, Any]:
    """Read options from a YAML file: "batch_size: 8", "method: [var, vhr]".

    Args:
        command: The command whose options they are.

    Raises:
        UserError: If the file cannot be read, or a key or a value of it is not the command's;
            names the line.
    """
    from halluc.data.yaml_file import read_mapping

    content, lines = read_mapping(file, "options are a mapping, as in 'method: var'")
    values = {str(key).replace("-", "_"): _text(value) for key, value in content.items()}
    places = {str(key).replace("-", "_"): line for key, line in lines.items()}
    model = _model(command)
    try:
        return model.model_validate(values).model_dump(exclude_unset=True, mode="json")
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        where = f"{file}, line {places[name]}"
        if first["type"] == "extra_forbidden":
            known = model.model_fields
            hint = did_you_mean(name, known, f"it has {', '.join(known)}")
            raise UserError(f"{where}: unknown option {shown(name)}; {hint}") from None
        reason = first["msg"][:1].lower() + first["msg"][1:]
        raise UserError(f"{where}: {name}: {reason}, not {shown(first['input'])}") from None


def _model(command: Any) -> type[BaseModel]:
    """Make a model of a command's options, of the types that its function says they have."""
    parameters = inspect.signature(command.callback, eval_str=True).parameters
    fields: dict[str, Any] = {
        name: (_bare(parameter.annotation) | None, None)
        for name, parameter in parameters.items()
        if name not in ("config", "quiet", "verbose")
    }
    return create_model(
        "Options", __config__=ConfigDict(extra="forbid", coerce_numbers_to_str=True), **fields
    )


def _bare(annotation: Any) -> Any:
    """Return a type without what typer is told about it."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if isinstance(annotation, types.UnionType):
        (annotation,) = (kind for kind in get_args(annotation) if kind is not type(None))
    return annotation


def _text(value: Any) -> Any:
    """Write a list as "a,b" and a mapping as "a=1,b=[2, 3]", as they are typed."""
    if isinstance(value, dict):
        return ",".join(f"{key}={_typed(inner)}" for key, inner in _flat(value).items())
    return ",".join(map(str, value)) if isinstance(value, list) else value


def _flat(value: dict[Any, Any]) -> dict[str, Any]:
    """Turn {"var": {"keep": 0.4}} into {"var.keep": 0.4}."""
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        if isinstance(inner, dict):
            flat |= {f"{key}.{name}": deep for name, deep in _flat(inner).items()}
        else:
            flat[str(key)] = inner
    return flat


def _typed(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
