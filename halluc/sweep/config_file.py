"""A sweep from a YAML file and the command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from halluc.errors import UserError
from halluc.sweep.sweep_config import SweepConfig
from halluc.validation import checked


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # yaml has no types
    """A YAML loader that refuses a key that is given twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = next((key for i, key in enumerate(keys) if key in keys[:i]), None)
        if twice is not None:
            raise UserError(f"{node.start_mark.name}: {twice!r} is given twice")
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def load_sweep(file: Path | None, typed: Mapping[str, Any]) -> SweepConfig:
    """Read a sweep from a file and from what was typed, which wins.

    Raises:
        UserError: If either is wrong.
    """
    content: Any = {}
    if file is not None:
        try:
            with file.open() as stream:
                content = yaml.load(stream, _Loader) or {}
        except OSError as error:
            raise UserError(f"{file}: no such file") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            mark = getattr(error, "problem_mark", None)
            line = f", line {mark.line + 1}" if mark else ""
            reason = getattr(error, "problem", None) or "no text"
            raise UserError(f"{file}{line}: broken YAML, {reason}") from error
        if not isinstance(content, dict):
            raise UserError(f"{file}: a sweep is a mapping, as in 'method: var'")
    values = content | dict(typed)
    for needed in ("method", "sweep"):
        if needed not in values:
            raise UserError(f"no --{needed}; as in --method var --sweep keep=0.2,0.4")
    return checked(SweepConfig, values, str(file or "sweep"))
