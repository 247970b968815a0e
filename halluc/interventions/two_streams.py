"""Base of methods that decode another view of the prompt next to it and contrast the two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from halluc.interventions.base import Dependence, Method
from halluc.interventions.contrast import contrasted, implausible

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions.base import Inputs
    from halluc.interventions.context import At, Batch
    from halluc.models import VisionLanguageModel


class TwoStreams(Method):
    """A method gives the other `view`; it may `join` the streams and `rule_out` tokens its own way.

    Attributes:
        other: The other stream's name.

    Examples:
        >>> import halluc
        >>> class EyesShut(halluc.TwoStreams):
        ...     def view(self, batch, model):
        ...         return model.without_image(batch.inputs)
        >>> EyesShut.declared()
        ('streams', 'next_token_logits')
    """

    other: ClassVar[str] = "other"
    prefix_depends_on: Dependence = "nothing"
    noop: ClassVar[dict[str, Any]] = {"alpha": 0.0, "beta": 0.0}

    class Params(Method.Params):
        """Parameters of a contrast."""

        alpha: float = Field(1.0, ge=0, description="strength of the contrast")
        beta: float | None = Field(
            0.1, ge=0, le=1, description="least share of the best token's chance"
        )

    params: Params

    def view(self, batch: Batch, model: VisionLanguageModel) -> Inputs:
        """Make the other view: model inputs of B rows, by `model.encode` or `without_image`."""
        raise NotImplementedError

    def join(self, at: At, main: Tensor, other: Tensor) -> Tensor:
        """Join the streams' next-token logits [B, V]: (1 + alpha) l - alpha l'."""
        return contrasted(main, other, self.params.alpha)

    def rule_out(self, main: Tensor, other: Tensor) -> Tensor:
        """Mark tokens that are not chosen from, bool [B, V]; never the best of the main stream."""
        assert self.params.beta is not None, "`resolve` fills it in"
        return implausible(main, self.params.beta)

    def streams(self, batch: Batch, model: VisionLanguageModel) -> dict[str, Inputs]:
        """Decode the other view next to the prompts."""
        return {self.other: self.view(batch, model)}

    def next_token_logits(self, at: At, logits: Mapping[str, Tensor]) -> Tensor:
        """Rule out what the prompts themselves make implausible, and join the streams."""
        main, other = logits["main"], logits[self.other]
        at.forbid(self.rule_out(main, other))
        return self.join(at, main, other)
