"""The source of a method: what tells two methods of one name apart."""

from __future__ import annotations

import ast
import inspect
import sys
from importlib.util import find_spec, resolve_name
from pathlib import Path
from typing import TYPE_CHECKING

from halluc.config import content_hash

if TYPE_CHECKING:
    from collections.abc import Iterator

    from halluc.interventions.base import Method

ENGINE = "halluc"
"""The package whose own version number stands for its source; methods are not part of it."""


def source_hash(method: type[Method]) -> str:
    """Hash the source of a method's own modules, wherever they lie.

    These are the modules of the class and of the classes it is made from, and those of the same
    package that they import. The engine beneath them has a version number of its own.

    Args:
        method: A method, or methods joined by "+".
    """
    parts = getattr(method, "parts", ()) or (method,)
    classes = [cls for part in parts for cls in part.__mro__ if not _of_engine(cls.__module__)]
    known: dict[str, str] = {}
    for cls in classes:
        _add(cls.__module__, known, fallback=cls)
    return content_hash(known)


def _add(module: str, known: dict[str, str], fallback: type | None = None) -> None:
    """Add a module's source, and that of the modules of its package it imports, to what is known.

    Args:
        fallback: A class whose functions stand for the source of a module that has no file: a
            notebook, or an interpreter.
    """
    if module in known:
        return
    file = _file(module)
    if file is None:
        if fallback is not None:
            known[f"{module}.{fallback.__qualname__}"] = _code(fallback)
        return
    source = known[module] = file.read_text(encoding="utf-8")
    for other in _imported(module, source):
        _add(other, known)


def _of_engine(module: str) -> bool:
    own = module.startswith(("halluc.methods.", "halluc.methods"))
    return module == "builtins" or module == "abc" or (module.split(".")[0] == ENGINE and not own)


def _file(module: str) -> Path | None:
    loaded = sys.modules.get(module)
    name = getattr(loaded, "__file__", None)
    if name is None and loaded is None:
        try:
            spec = find_spec(module)
        except (ImportError, ValueError):
            return None
        name = spec.origin if spec is not None else None
    return Path(name) if name and Path(name).suffix == ".py" and Path(name).is_file() else None


def _imported(module: str, source: str) -> Iterator[str]:
    """Yield the modules of the same package that a module imports, in functions too."""
    package = "halluc.methods" if module.startswith("halluc.") else module.split(".")[0]
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = resolve_name("." * node.level + base, module.rpartition(".")[0])
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        for name in names:
            if (name == package or name.startswith(f"{package}.")) and _file(name) is not None:
                yield name


def _code(cls: type) -> str:
    """Describe a class by its source, or by its functions' bytecode where there is none."""
    try:
        return inspect.getsource(cls)
    except (OSError, TypeError):
        functions = {n: f for n, f in vars(cls).items() if inspect.isfunction(f)}
        return content_hash(
            {
                name: [f.__code__.co_code.hex(), repr(f.__code__.co_consts)]
                for name, f in functions.items()
            }
        )
