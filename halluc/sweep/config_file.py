"""A sweep from a YAML file and the command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from halluc.errors import UserError
from halluc.sweep.sweep_config import SweepConfig
from halluc.validation import checked


def load_sweep(file: Path | None, typed: Mapping[str, Any]) -> SweepConfig:
    """Read a sweep from a file and from what was typed, which wins.

    Raises:
        UserError: If either is wrong.
    """
    content: dict[Any, Any] = {}
    if file is not None:
        from halluc.data.yaml_file import read_mapping

        content = read_mapping(file, "a sweep is a mapping, as in 'method: var'").values
    values = content | dict(typed)
    for needed in ("method", "sweep"):
        if needed not in values:
            raise UserError(f"no --{needed}; as in --method var --sweep keep=0.2,0.4")
    return checked(SweepConfig, values, str(file or "sweep"))
