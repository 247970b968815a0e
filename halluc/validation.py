"""Parsing and checking of what a user types, with errors of one line; imports no torch."""

from __future__ import annotations

import json
import re
import reprlib
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from halluc.errors import UserError
from halluc.suggestions import did_you_mean

M = TypeVar("M", bound=BaseModel)


def key_values(text: str | None, flag: str) -> dict[str, Any]:
    """Parse "a=1,b=0.5,c=[1,2],d=paper" into a dictionary.

    Args:
        text: What was typed; commas inside brackets or braces belong to the value.
        flag: The option it was typed for, named in errors.

    Raises:
        UserError: If a part is not key=value, or a key is given twice.
    """
    values: dict[str, Any] = {}
    for part in parts(text or ""):
        key, equals, value = part.partition("=")
        key = key.strip().replace("-", "_")
        if not equals or not key:
            raise UserError(f"{flag}: {shown(part)} is not key=value, as in 'keep=0.4,rho=0.5'")
        if key in values:
            raise UserError(f"{flag}: {shown(key)} is given twice")
        values[key] = literal(value.strip())
    return values


def parts(text: str) -> list[str]:
    """Split at commas, except inside brackets or braces."""
    pieces = re.split(r",(?![^\[]*\])(?![^{]*\})", text)
    return [piece.strip() for piece in pieces if piece.strip()]


def checked(model: type[M], values: dict[str, Any], what: str) -> M:
    """Validate values with a pydantic model.

    Args:
        what: Name of the thing for errors, as in "method 'var'".

    Raises:
        UserError: Naming the first parameter that is wrong, and what would be right.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        *path, last = (str(part) for part in first["loc"][:2])
        name = ".".join([*path, last])
        if first["type"] == "extra_forbidden":
            owner: Any = model
            for part in path:
                owner = owner.model_fields[part].annotation
            known = [".".join([*path, field]) for field in owner.model_fields]
            hint = did_you_mean(name, known, f"it has {', '.join(known) or 'none'}")
            raise UserError(f"{what}: unknown parameter {shown(name)}; {hint}") from None
        message = first["msg"].removeprefix("Value error, ")
        reason = message[:1].lower() + message[1:]
        given = shown(first["input"])
        raise UserError(f"{what}: parameter {shown(name)}: {reason}, not {given}") from None


def nested(values: dict[str, Any]) -> dict[str, Any]:
    """Turn {"vhr.gain": 2} into {"vhr": {"gain": 2}}: the parameters of one part of a composite."""
    parts: dict[str, Any] = {}
    for key, value in values.items():
        part, dot, inner = key.partition(".")
        if dot:
            parts.setdefault(part, {})[inner] = value
        else:
            parts[key] = value
    return parts


def literal(text: str) -> Any:
    """Parse a JSON value (numbers, true, [1, 2]); anything else is the text itself."""
    if text in ("True", "False", "None"):
        return {"True": True, "False": False, "None": None}[text]
    try:
        return json_value(text)
    except ValueError:
        return text


def json_value(text: str) -> Any:
    """Parse JSON.

    Raises:
        ValueError: If it is not JSON, is nested too deeply, or has a number of too many digits.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def shown(value: Any) -> str:
    """Return a value as errors quote it: on one line, and not longer than helps."""
    quote = reprlib.Repr()
    quote.maxstring = quote.maxother = quote.maxlong = 200
    quote.maxlist = quote.maxdict = 10
    return quote.repr(value)
