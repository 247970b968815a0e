"""View of the engine for its parts: enough to serve seams, without a circle of imports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions.base import Method
    from halluc.interventions.context import At, BatchState, Phase
    from halluc.interventions.shared_prefix import Prefix
    from halluc.models import VisionLanguageModel


class SeamCall(NamedTuple):
    """Call of a seam: what it is given, and the rows that are handed over.

    Attributes:
        at: As the method is given it.
        start: The first query row of the pass that is handed to the method.
    """

    at: At
    start: int


class EngineView(Protocol):
    """An `Engine` as attention and hooks see it."""

    model: VisionLanguageModel
    method: Method
    memory: BatchState
    phase: Phase
    seams: tuple[str, ...]
    named: frozenset[int]

    def live(self, layer: int | None) -> tuple[str, ...]:
        """Return the attention seams to be called in a layer."""

    def prefix(self, rows: int) -> Prefix | None:
        """Return what the rows of this pass begin with."""

    def at(
        self, layer: int, n_rows: int, n_keys: int, batch: int, crosses: bool = False
    ) -> SeamCall:
        """Describe the place at which a seam is called."""

    def owners(self, n_rows: int, start: int = 0, n_tokens: int = 0) -> Tensor | None:
        """Return the row of the batch that each row of the vision tower belongs to."""

    def all_true(self, *shape: int) -> Tensor:
        """Return True everywhere."""

    def call(self, seam: str, *args: Any) -> Any:
        """Call one of the method's seams."""

    def keep_early(self, layer: int, hidden: Tensor) -> None:
        """Keep the last row of what enters a layer."""
