"""Methods together: "vhr+var" applies both, each with its own rows, layers and memory.

Parts act from left to right: biases add, gains multiply, edited logits, weights and image tokens
pass from one part to the next. Passes that a part makes of its own (VHR choosing heads) see that
part alone. Two parts that each want the last word on the next token cannot be combined.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from pydantic import create_model

from halluc.errors import UserError
from halluc.interventions.base import (
    REGISTRY,
    SEAMS,
    Beginning,
    Method,
    MethodCard,
    MethodParams,
)

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions.context import Asked, Prompted, Site, VisionSite
    from halluc.interventions.engine import Engine
    from halluc.models import VisionLanguageModel

ROWS: tuple[Literal["all", "after_image", "last"], ...] = ("all", "after_image", "last")


def find(name: str) -> type[Method]:
    """The method class of a name, or of names joined by "+".

    Raises:
        UserError: If one is unknown or named twice.
    """
    names = [part.strip() for part in name.split("+")]
    if len(names) == 1:
        return REGISTRY.get(name)
    parts = [REGISTRY.get(part) for part in names]
    if len(set(names)) < len(names):
        raise UserError(f"method {name!r} names a part twice")
    return _composite(name, tuple(parts))


def _composite(name: str, parts: tuple[type[Method], ...]) -> type[Method]:
    fields: dict[str, Any] = {part.name: (part.Params, part.Params()) for part in parts}
    members: dict[str, Any] = {
        "name": name,
        "parts": parts,
        "card": MethodCard(f"{name}: the parts in this order", "-", 0, "-", "-"),
        "cross_attention": any(part.cross_attention for part in parts),
        "vision_layers": tuple(sorted({layer for part in parts for layer in part.vision_layers})),
        "Params": create_model("Params", __base__=MethodParams, **fields),
        "__doc__": "Several methods at once.",
    }
    declared = {seam for part in parts for seam in part.declared()}
    members |= {seam: getattr(_Seams, seam) for seam in SEAMS if seam in declared}
    return type("Composite", (Composite,), members)


class Composite(Method):
    """Several methods at once; subclasses are made by `find`.

    Attributes:
        parts: The methods' classes, in the order they act.
    """

    parts: ClassVar[tuple[type[Method], ...]] = ()

    def __init__(self, params: Any) -> None:
        super().__init__(params)
        self.methods = [part(getattr(params, part.name)) for part in self.parts]
        wanted = {method.rows for method in self.methods}
        self.rows = next(rows for rows in ROWS if rows in wanted)
        self.beginning = max((m.beginning for m in self.methods), key=get_args(Beginning).index)

    @classmethod
    def requires(cls, params: Any, config: Any, model: str) -> None:
        """What each part requires; and that only one has the last word on the next token."""
        rivals = cls._deciding(params)
        if len(rivals) > 1:
            raise UserError(
                f"method {cls.name!r}: {' and '.join(rivals)} cannot be combined; "
                "each decides the next token by streams of its own"
            )
        for part in cls.parts:
            part.requires(getattr(params, part.name), config, model)

    @classmethod
    def decides(cls, params: Any) -> bool:
        """Whether a part has the last word."""
        return bool(cls._deciding(params))

    @classmethod
    def _deciding(cls, params: Any) -> list[str]:
        return [part.name for part in cls.parts if part.decides(getattr(params, part.name))]

    @classmethod
    def resolve(cls, params: Any, model: VisionLanguageModel) -> MethodParams:
        """Let each part fill in its own."""
        resolved = {p.name: p.resolve(getattr(params, p.name), model) for p in cls.parts}
        filled: MethodParams = params.model_copy(update=resolved)
        return filled

    def layers(self, n_layers: int) -> list[int]:
        """Layers in which any part acts."""
        return sorted({layer for method in self.methods for layer in method.layers(n_layers)})

    def begin(self, prompted: Prompted) -> list[Any]:
        """One memory a part."""
        return [method.begin(prompted) for method in self.methods]

    def prepare(self, engine: Engine, inputs: dict[str, Any]) -> int:
        """Let each part look at the prompts by itself."""
        whole, states = engine.prompted, engine.prompted.state
        passes = 0
        for method, state in zip(self.methods, states, strict=True):
            with engine.serving(method, replace(whole, state=state)):
                passes += method.prepare(engine, inputs)
        return passes

    def _last_word(self) -> list[Method]:
        return [method for method in self.methods if method.decides(method.params)]

    def at(self, seam: str, site: Site) -> Iterator[tuple[Method, Site]]:
        """The parts that declare a seam and act in this layer, each with its own site."""
        for part, method in enumerate(self.methods):
            if site.crosses and not method.cross_attention:
                continue
            if seam in method.declared() and site.layer in method.layers(site.n_layers):
                yield (
                    method,
                    replace(
                        site,
                        rows=_rows(method, site),
                        prompted=_own(site.prompted, site.layer, part),
                    ),
                )


def _own(prompted: Prompted, layer: int, part: int) -> Prompted:
    """The batch as a part remembers it."""
    seen = prompted.observed.get(layer)
    observed = {} if seen is None else {layer: seen[part]}
    return replace(prompted, state=prompted.state[part], observed=observed)


def _rows(method: Method, site: Site) -> Tensor:
    """The rows a part edits among those the composite is handed, bool [B, R]."""
    rows = site.rows.clone()
    if method.rows == "last":
        rows[:, :-1] = False
    elif method.rows == "after_image" and site.prefill:
        after = site.image_mask.flip(1).cumsum(1).flip(1) == 0
        rows &= after[:, -rows.shape[1] :]
    return rows


class _Seams(Composite):
    """The seams of a composite; one is copied into it if a part declares it."""

    def bias(self, site: Site) -> Tensor:
        biases = [method.bias(own) for method, own in self.at("bias", site)]
        zero = site.image_columns.new_zeros(1, 1, 1, 1).float()
        return reduce(lambda a, b: a + b, biases, zero)

    def scores(self, site: Site, scores: Tensor) -> Tensor:
        for method, own in self.at("scores", site):
            scores = method.scores(own, scores)
        return scores

    def weights(self, site: Site, attention: Tensor) -> Tensor:
        for method, own in self.at("weights", site):
            attention = method.weights(own, attention)
        return attention

    def heads(self, site: Site, outputs: Tensor) -> Tensor:
        gain = outputs.new_ones(1, 1)
        for method, own in self.at("heads", site):
            gain = gain * method.heads(own, outputs)
        return gain

    def observe(self, site: Site, hidden: Tensor) -> tuple[Any, ...]:
        facts = {method: method.observe(own, hidden) for method, own in self.at("observe", site)}
        return tuple(facts.get(method) for method in self.methods)

    def tokens(self, site: VisionSite, hidden: Tensor) -> Tensor:
        for method in self.methods:
            if "tokens" in method.declared():
                hidden = method.tokens(site, hidden)
        return hidden

    def streams(self, model: VisionLanguageModel, asked: Asked) -> list[dict[str, Any]]:
        return [one for method in self._last_word() for one in method.streams(model, asked)]

    def combine(self, logits: Tensor, step: int) -> Tensor:
        for method in self._last_word():
            return method.combine(logits, step)
        return logits[0]
