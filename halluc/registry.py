"""Plug-ins: a decorator registers a class under a name, by which it is found.

Built-in plug-ins are the modules of `halluc.methods` and `halluc.benchmarks`; other packages add
theirs through an entry point of the same group name that names a module or a registered class.
"""

from __future__ import annotations

import importlib
import pkgutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from halluc.errors import Notice, UserError
from halluc.suggestions import did_you_mean

T = TypeVar("T")


class Registry(Generic[T]):
    """Names of one kind of plug-in, filled by importing the package that holds them.

    Args:
        kind: What a user calls one of them ("method").
        package: The package whose modules are the built-in ones, and the entry-point group.
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self._package = package
        self._entries: dict[str, type[T]] = {}
        self._discovered = False

    def register(self, name: str) -> Callable[[type[T]], type[T]]:
        """Return a class decorator that registers under `name`."""

        def decorate(cls: type[T]) -> type[T]:
            known = self._entries.get(name)
            if known is not None and known.__module__ != cls.__module__:
                raise ValueError(f"{self.kind} {name!r} is defined twice: {known} and {cls}")
            self._entries[name] = cls
            return cls

        return decorate

    @contextmanager
    def scratch(self) -> Iterator[None]:
        """Forget, on leaving, what was registered in a `with`: examples and tests."""
        self._discover()
        before = dict(self._entries)
        try:
            yield
        finally:
            self._entries = before

    def names(self) -> list[str]:
        """List all names, sorted."""
        self._discover()
        return sorted(self._entries)

    def get(self, name: str) -> type[T]:
        """Return the class registered under `name`.

        Raises:
            UserError: If there is none; suggests what was probably meant.
        """
        self._discover()
        if name not in self._entries:
            hint = did_you_mean(name, self._entries, f"choose from {', '.join(self.names())}")
            raise UserError(f"unknown {self.kind} {name!r}: {hint}")
        return self._entries[name]

    def _discover(self) -> None:
        if self._discovered:
            return
        self._discovered = True
        package = importlib.import_module(self._package)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{self._package}.{module.name}")
        for entry in entry_points(group=self._package):
            try:
                entry.load()
            except Exception as error:  # a broken plug-in must not take the harness down
                said = f"plug-in {entry.name!r} ({entry.value}) is left out: {error}"
                warnings.warn(said, Notice, stacklevel=2)
