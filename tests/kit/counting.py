"""Forward passes counted where they happen: in a hook on the model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from halluc.models import VisionLanguageModel


@dataclass
class Passes:
    """The number of forward passes so far."""

    count: int = 0

    def since(self, before: int) -> int:
        """Return how many there were since a count."""
        return self.count - before


@contextmanager
def counted_passes(model: VisionLanguageModel) -> Iterator[Passes]:
    """Count the forward passes of a model while a `with` lasts."""
    passes = Passes()

    def note(*_: Any) -> None:
        passes.count += 1

    handle = model.model.register_forward_hook(note)
    try:
        yield passes
    finally:
        handle.remove()
