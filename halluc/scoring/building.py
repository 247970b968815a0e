"""Benchmarks from the names and options that a user types."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.errors import UserError
from halluc.scoring.base import REGISTRY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from halluc.scoring.base import Benchmark

PATHS = ("folder", "tables")
"""Options that are paths on this machine."""
_OPTIONS = ("protocol", "prompt", "folder", "tables", "judge", "chat")


def build(name: str, options: Mapping[str, Any] | None = None) -> Benchmark:
    """Make a benchmark.

    Args:
        options: Of protocol, prompt, folder, tables, judge and chat those the benchmark takes, and
            split; a judge is "endpoint:<model>" or "local:<model>".

    Raises:
        UserError: If it takes no such option, or a folder or file does not exist.
    """
    known = taken(name)
    arguments: dict[str, Any] = {}
    for key, value in (options or {}).items():
        if key not in (*known, "split"):
            raise UserError(f"{name}: takes no {key!r}, only {', '.join(known)}, split")
        arguments[key] = _typed(name, key, value)
    split = arguments.pop("split", None)
    benchmark = REGISTRY.get(name)(**arguments)
    if split is not None:
        benchmark.take(str(split))
    return benchmark


def taken(name: str) -> list[str]:
    """Return the options that a benchmark takes.

    Raises:
        UserError: If the benchmark is unknown.
    """
    return [key for key in inspect.signature(REGISTRY.get(name)).parameters if key in _OPTIONS]


def _typed(name: str, key: str, value: Any) -> Any:
    if key in PATHS:
        path = Path(str(value)).expanduser()
        if not path.exists():
            raise UserError(f"{name}: {key} {str(value)!r} does not exist")
        return path
    if key == "judge":
        from halluc.scoring.judges.judge_models import judge

        return judge(str(value))
    if key == "chat" and not isinstance(value, bool):
        raise UserError(f"{name}: {key} {value!r} is neither true nor false")
    return value


def by_benchmark(names: tuple[str, ...], values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Split {"folder": F, "pope_coco.prompt": P} by benchmark; a key without a dot is for all.

    Raises:
        UserError: If a key names a benchmark that is not run.
    """
    options: dict[str, dict[str, Any]] = {name: {} for name in names}
    for key, value in values.items():
        name, dot, inner = key.partition(".")
        if not dot:
            for benchmark_options in options.values():
                benchmark_options[key] = value
        elif name in options:
            options[name][inner] = value
        else:
            raise UserError(f"--benchmark-args: {name!r} is not one of {', '.join(names)}")
    return {name: chosen for name, chosen in options.items() if chosen}


def benchmark_names(text: str) -> tuple[str, ...]:
    """Parse "glyph_pope,glyph_chair"; a prefix like "glyph" stands for all that start with it.

    Raises:
        UserError: If one is unknown.
    """
    chosen: list[str] = []
    for name in (part.strip() for part in text.split(",") if part.strip()):
        family = [known for known in REGISTRY.names() if known.startswith(f"{name}_")]
        chosen += [name] if name in REGISTRY.names() or not family else family
    for name in chosen:
        REGISTRY.get(name)
    if not chosen:
        raise UserError("--benchmarks names none; see 'halluc list benchmarks'")
    return tuple(dict.fromkeys(chosen))
