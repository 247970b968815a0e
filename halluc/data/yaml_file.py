"""Mappings from YAML files that people write, with the lines their keys stand on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import yaml

from halluc.errors import UserError


class Typed(NamedTuple):
    """What a file says: a value for each key, and the line of each key, from 1."""

    values: dict[Any, Any]
    lines: dict[Any, int]


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # yaml has no types
    """A YAML loader that refuses a key that is given twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = next((key for i, key in enumerate(keys) if key in keys[:i]), None)
        if twice is not None:
            raise UserError(f"{node.start_mark.name}: {twice!r} is given twice")
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def read_mapping(file: Path, what: str) -> Typed:
    """Read a YAML file that holds one mapping; an empty file holds an empty one.

    Args:
        what: What the file is, with an example, for errors.

    Raises:
        UserError: If there is no such file, or it is not YAML or no mapping.
    """
    try:
        with file.open() as stream:
            loader = _Loader(stream)
            node = loader.get_single_node()
            content = {} if node is None else loader.construct_document(node)
    except OSError as error:
        raise UserError(f"{file}: no such file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or "no text"
        raise UserError(f"{file}{line}: broken YAML, {reason}") from error
    if content is None or content == {}:
        return Typed({}, {})
    if not isinstance(content, dict):
        raise UserError(f"{file}: {what}")
    return Typed(content, {key.value: key.start_mark.line + 1 for key, _ in node.value})
