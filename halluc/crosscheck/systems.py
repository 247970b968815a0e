"""Systems: models with methods, as `halluc crosscheck` names them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from halluc.config import BASELINE
from halluc.errors import UserError
from halluc.interventions.compose import find
from halluc.models.names import ENDPOINT, endpoint_name, locate


@dataclass(frozen=True)
class System:
    """A model with a method; its name is "glyph:var", or "glyph" for the baseline."""

    model: str
    method: str = BASELINE

    def __str__(self) -> str:
        return self.model if self.method == BASELINE else f"{self.model}:{self.method}"


def parse_system(text: str) -> System:
    """Parse MODEL or MODEL:METHOD, as in "glyph", "glyph:vhr+var" or "openai:gpt-4o".

    Raises:
        UserError: If model or method is unknown, or the model is behind an endpoint and a method
            is named.
    """
    if text.startswith(ENDPOINT):
        endpoint_name(text)
        return System(text)  # the endpoint's own name may hold colons; methods need weights
    model, colon, method = text.rpartition(":")
    found = System(model, method) if colon else System(text)
    if not found.model:
        raise UserError(f"system {text!r} lacks a model; write MODEL or MODEL:METHOD")
    locate(found.model)
    find(found.method)
    return found


def parse_systems(text: str | Iterable[str]) -> tuple[System, ...]:
    """Parse systems separated by commas, each once.

    Raises:
        UserError: If there are none, or one is wrong.
    """
    names = text.split(",") if isinstance(text, str) else text
    found = tuple(dict.fromkeys(parse_system(name.strip()) for name in names if name.strip()))
    if not found:
        raise UserError("no system is named; write them as MODEL or MODEL:METHOD, with commas")
    return found


def by_model(chosen: Iterable[System]) -> dict[str, list[System]]:
    """Group systems by model, each once, so that a model is loaded once for all of its own."""
    groups: dict[str, list[System]] = {}
    for one in dict.fromkeys(chosen):
        groups.setdefault(one.model, []).append(one)
    return groups
