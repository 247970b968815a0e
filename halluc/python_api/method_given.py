"""Methods as a program gives them: names, names with parameters, classes of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from halluc.config import MethodConfig, baseline_first
from halluc.errors import UserError
from halluc.interventions import REGISTRY, Method
from halluc.interventions.compose import find
from halluc.validation import shown

Given = str | type[Method] | Mapping[Any, Mapping[str, Any]]
"""A name, or names joined by "+"; a `Method` class; or either with parameters, in a dictionary."""


class Chosen(NamedTuple):
    """A method's class, and the parameters that were given."""

    cls: type[Method]
    values: dict[str, Any]


def choose(given: Given | Iterable[Given]) -> list[Chosen]:
    """Find the methods that are meant, each once, and check their parameters.

    Args:
        given: "var", "var,vhr", {"vhr": {"gain": 1.5}}, a class, or several of these.

    Raises:
        UserError: If a method does not exist or has no name, or a parameter is wrong.
    """
    found: list[Chosen] = []
    for name, values in _pairs(given):
        if not isinstance(values, Mapping):
            raise UserError(
                f"methods: {shown(values)} are no parameters; write them as a dictionary, as in "
                "{'vhr': {'gain': 1.5}}"
            )
        one = Chosen(_class_of(name), dict(values))
        one.cls.parameters(one.values)
        if one not in found:
            found.append(one)
    return found


def choose_one(given: Given, values: Mapping[str, Any]) -> Chosen:
    """Find the one method that is meant; its parameters may stand next to it.

    Raises:
        UserError: As for `choose`; or if several are meant, or parameters are given twice.
    """
    found = choose(given)
    if len(found) != 1:
        raise UserError(f"method {shown(given)}: give one; methods joined by + act at once")
    (one,) = found
    if twice := sorted(values.keys() & one.values.keys()):
        raise UserError(f"method {one.cls.name!r}: parameter {twice[0]!r} is given twice")
    merged = Chosen(one.cls, one.values | dict(values))
    merged.cls.parameters(merged.values)
    return merged


def configs_of(methods: Iterable[Chosen], baseline: bool) -> list[MethodConfig]:
    """Describe methods for a run; see `baseline_first`."""
    configs = [MethodConfig(name=one.cls.name, params=one.values) for one in methods]
    return baseline_first(configs, baseline)


@contextmanager
def findable(methods: Iterable[Chosen]) -> Iterator[None]:
    """Let classes be found by name for the length of a `with`; they need not be registered.

    Raises:
        UserError: If another method has that name.
    """
    with REGISTRY.scratch():
        for cls in (one.cls for one in methods if not hasattr(one.cls, "parts")):
            if cls.name in REGISTRY.names() and REGISTRY.get(cls.name) is not cls:
                raise UserError(
                    f"method {cls.name!r} is another class of that name; give yours another one"
                )
            REGISTRY.register(cls.name)(cls)
        yield


def _pairs(given: Any) -> Iterator[tuple[Any, Any]]:
    """Yield methods with their parameters."""
    if isinstance(given, Mapping):
        yield from given.items()
    elif isinstance(given, str):
        yield from ((part.strip(), {}) for part in given.split(",") if part.strip())
    elif isinstance(given, Iterable):
        for one in given:
            yield from _pairs(one)
    else:
        yield given, {}


def _class_of(given: Any) -> type[Method]:
    if isinstance(given, str):
        return find(given)
    if not (isinstance(given, type) and issubclass(given, Method)):
        raise UserError(
            f"methods: {shown(given)} is none; give a name, a dictionary like "
            "{'vhr': {'gain': 1.5}}, or a class made from halluc.Method"
        )
    if not isinstance(getattr(given, "name", None), str):
        raise UserError(
            f"methods: class {given.__name__} has no name; write "
            f"@halluc.method({given.__name__.lower()!r}) above it"
        )
    return given
