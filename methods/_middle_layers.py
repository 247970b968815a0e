"""Methods that edit the middle layers, where image and text are joined."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from halluc.interventions import Method
from halluc.interventions.requirements import needs_layers, needs_shared_rows

if TYPE_CHECKING:
    from halluc.models import VisionLanguageModel


class Span(NamedTuple):
    """Layers from the first to the last, 0-based, both included."""

    first: int
    last: int

    def of(self, n_layers: int) -> Span:
        """Scale layers of 32 with a model's depth; none may be left of few."""
        return Span(self.first * n_layers // 32, (self.last + 1) * n_layers // 32 - 1)


class MiddleLayers(Method):
    """Base of methods that edit attention in layers published for models of 32.

    Their parameters hold `first_layer` and `last_layer`; None takes the published ones, scaled.

    Attributes:
        published: Those layers.
    """

    prefix_depends_on = "nothing"
    published: ClassVar[Span]
    params: Any

    @classmethod
    def requires(cls, params: Any, config: Any, model: str) -> None:
        """Refuse a model without image tokens in its prompt."""
        needs_shared_rows(cls.name, config, model)

    @classmethod
    def resolve(cls, params: Any, model: VisionLanguageModel) -> Any:
        """Fill in layers by depth; refuse a range the model does not have."""
        first, last = cls.published.of(model.n_layers)
        first = first if params.first_layer is None else params.first_layer
        last = max(first, last) if params.last_layer is None else params.last_layer
        needs_layers(cls.name, first, last, model)
        return params.model_copy(update={"first_layer": first, "last_layer": last})

    def layers(self, n_layers: int) -> range:
        """Return the layers of the range."""
        return range(self.params.first_layer, self.params.last_layer + 1)
