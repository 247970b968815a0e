"""Composites of methods: "vhr+var" applies both, each with its own rows, layers and memory.

Parts act from left to right: biases add, gains multiply, edited logits, weights, hidden states and
image tokens pass from one part to the next. Passes that a part makes of its own (VHR choosing
heads) see that part alone. Two parts that each make the next token's logits, or each search, cannot
be combined.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from pydantic import create_model

from halluc.errors import UserError
from halluc.interventions.base import REGISTRY, Dependence, Method
from halluc.interventions.card import MethodCard, MethodParams
from halluc.interventions.seams import EDITED_ATTENTION, SEAMS

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions.base import Forward, Inputs
    from halluc.interventions.context import Ask, At, Batch
    from halluc.interventions.search_loop import SearchLoop
    from halluc.models import VisionLanguageModel

ROWS: tuple[Literal["all", "after_image", "last"], ...] = ("all", "after_image", "last")


def find(name: str) -> type[Method]:
    """Find the method class of a name, or of names joined by "+".

    Raises:
        UserError: If a name is unknown, or a part is named twice.
    """
    names = [part.strip() for part in name.split("+")]
    if len(names) == 1:
        return REGISTRY.get(name)
    parts = [REGISTRY.get(part) for part in names]
    if len(set(names)) < len(names):
        raise UserError(f"method {name!r} names a part twice")
    return _composite(name, tuple(parts))


def joined(methods: Sequence[Method], without: Collection[str] = ()) -> Method:
    """Join methods that are prepared for a model already; they need not be registered.

    Args:
        methods: They act from left to right; parts of a composite act in its place.
        without: Seams of theirs that are left out.
    """
    parts = [part for method in methods for part in method.methods or (method,)]
    name = "+".join(part.name for part in parts)
    cls = _composite(name, tuple(type(part) for part in parts), without)
    whole = cls.__new__(cls)
    of_parts: dict[str, Any] = {part.name: part.params for part in parts}
    Method.__init__(whole, cls.Params.model_construct(**of_parts))
    whole.join(parts)
    return whole


def _composite(
    name: str, parts: tuple[type[Method], ...], without: Collection[str] = ()
) -> type[Composite]:
    fields: dict[str, Any] = {part.name: (part.Params, part.Params()) for part in parts}
    members: dict[str, Any] = {
        "name": name,
        "parts": parts,
        "card": MethodCard(f"{name}: the parts in this order", "-", 0, "-", "-"),
        "cross_attention": any(part.cross_attention for part in parts),
        "filters": all(part.filters for part in parts),
        "Params": create_model("Params", __base__=MethodParams, **fields),
        "__doc__": "Several methods at once.",
    }
    declared = {seam for part in parts for seam in part.declared()} - set(without)
    members |= {seam: getattr(_Seams, seam) for seam in SEAMS if seam in declared}
    return type("Composite", (Composite,), members)


class Composite(Method):
    """Several methods at once; `find` makes the subclasses.

    Attributes:
        parts: The methods' classes, in the order they act.
    """

    parts: ClassVar[tuple[type[Method], ...]] = ()

    def __init__(self, params: Any) -> None:
        super().__init__(params)
        self.join([part(getattr(params, part.name)) for part in self.parts])

    def join(self, methods: Sequence[Method]) -> None:
        """Take up the parts, and what they together ask of the engine."""
        self.methods = methods
        wanted = {method.rows for method in self.methods}
        self.rows = next(rows for rows in ROWS if rows in wanted)
        depends = (method.prefix_depends_on for method in self.methods)
        self.prefix_depends_on = max(depends, key=get_args(Dependence).index)
        self.withhold_below = max(method.withhold_below for method in self.methods)
        self.takes_gradients = any(method.takes_gradients for method in self.methods)
        self.in_vision_tower = any(method.in_vision_tower for method in self.methods)
        self.attention_in_tower = any(method.attention_in_tower for method in self.methods)
        self.vision_layers = tuple({layer for each in self.methods for layer in each.vision_layers})
        active = {seam for method in self.methods for seam in method.active()}
        self.resting = {seam for seam in self.declared() if seam not in active}
        hidden = [method for method in self.methods if "hidden" in method.active()]
        self.hidden_phases = {phase for method in hidden for phase in method.hidden_phases}
        looks = [method for method in self.methods if EDITED_ATTENTION & set(method.active())]
        self.attention_phases = {phase for method in looks for phase in method.attention_phases}

    @classmethod
    def requires(cls, params: Any, config: Any, model: str) -> None:
        """Require what each part requires, and that parts do not exclude each other.

        Raises:
            UserError: If the model lacks something, or two parts cannot be combined.
        """
        rivals = cls._deciding(params)
        if len(rivals) > 1:
            raise UserError(
                f"method {cls.name!r}: {' and '.join(rivals)} cannot be combined; "
                "each makes the logits of the next token"
            )
        for seam in ("search", "weights", "confidence"):
            rivals = [part.name for part in cls.parts if seam in part.declared()]
            if len(rivals) > 1:
                raise UserError(
                    f"method {cls.name!r}: {' and '.join(rivals)} cannot be combined; "
                    f"each has a {seam} of its own"
                )
        steers = [p.name for p in cls.parts if p.in_vision_tower or p.attention_in_tower]
        thins = [part.name for part in cls.parts if "image_tokens" in part.declared()]
        if steers and thins:
            raise UserError(
                f"method {cls.name!r}: {steers[0]} edits what the vision tower computes, and "
                f"{thins[0]} thins out its tokens beforehand; they cannot be combined"
            )
        for part in cls.parts:
            part.requires(getattr(params, part.name), config, model)

    @classmethod
    def decides(cls, params: Any) -> bool:
        """Return whether a part makes the next token's logits."""
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

    def load(self, model: VisionLanguageModel) -> None:
        """Let each part load what it needs."""
        for method in self.methods:
            method.load(model)

    def layers(self, n_layers: int) -> list[int]:
        """Return the layers in which any part acts."""
        return sorted({layer for method in self.methods for layer in method.layers(n_layers)})

    def early_layers(self, n_layers: int) -> list[int]:
        """Return the layers any part reads early."""
        return sorted({layer for method in self.methods for layer in method.early_layers(n_layers)})

    def begin(self, batch: Batch) -> list[Any]:
        """Make one memory a part."""
        return [method.begin(batch) for method in self.methods]

    def reorder(self, state: Any, rows: Tensor) -> Any:
        """Let each part's memory follow its beams."""
        pairs = zip(self.methods, state, strict=True)
        return [method.reorder(memory, rows) for method, memory in pairs]

    def _with(self, seam: str) -> list[Method]:
        return [method for method in self.methods if seam in method.declared()]

    def acting(self, seam: str, at: At) -> Iterator[tuple[int, Method, At]]:
        """Yield the parts that declare a seam and act in this layer, each with its own `at`."""
        for part, method in enumerate(self.methods):
            if at.crosses and not method.cross_attention:
                continue
            if at.part == "vision":
                attends = seam == "attention_weights"
                acts = method.attention_in_tower if attends else method.in_vision_tower
            else:
                acts = at.layer in method.layers(at.n_layers)
                if seam in EDITED_ATTENTION:
                    acts = acts and at.phase in method.attention_phases
            if seam in method.active() and acts:
                memory = at.memory.of_part(part, at.layer)
                yield part, method, replace(at, rows=_rows(method, at), memory=memory)


def _rows(method: Method, at: At) -> Tensor:
    """Return the rows a part edits among those the composite is handed, bool [B, R]."""
    if at.part == "vision":
        return at.rows
    rows = at.rows.clone()
    if method.rows == "last":
        rows[:, :-1] = False
    elif method.rows == "after_image" and at.prefill:
        after = at.image_mask.flip(1).cumsum(1).flip(1) == 0
        rows &= after[:, -rows.shape[1] :]
    return rows


class _Seams(Composite):
    """Seams of a composite; those that a part declares are copied into it."""

    def prompt(self, batch: Batch) -> Batch:
        """Let each part rewrite what the part before it made."""
        for method in self._with("prompt"):
            batch = method.prompt(batch)
        return batch

    def streams(self, batch: Batch, model: VisionLanguageModel) -> dict[str, Inputs]:
        """Give the streams of all parts; of equal names the last counts."""
        made: dict[str, Inputs] = {}
        for method in self._with("streams"):
            made |= method.streams(batch, model)
        return made

    def prepare(self, at: At, inputs: Inputs, forward: Forward) -> None:
        """Refuse: each part is prepared alone."""
        raise NotImplementedError("the engine calls `prepare` of each part")

    def image_tokens(self, at: At, hidden: Tensor) -> Tensor:
        """Let each part thin out what the part before it left, [N, 1 + P, D]."""
        for method in self._with("image_tokens"):
            hidden = method.image_tokens(at, hidden)
        return hidden

    def attention_bias(self, at: At) -> Tensor:
        """Add the parts' biases, [B or 1, H or 1, Q or 1, K]."""
        total = at.image_columns.new_zeros(1, 1, 1, 1).float()
        for _, method, own in self.acting("attention_bias", at):
            total = total + method.attention_bias(own)
        return total

    def attention_logits(self, at: At, logits: Tensor) -> Tensor:
        """Let each part edit the logits that the part before it made, [B, H, R, K]."""
        for _, method, own in self.acting("attention_logits", at):
            logits = method.attention_logits(own, logits)
        return logits

    def attention_weights(self, at: At, weights: Tensor) -> Tensor:
        """Let each part edit the weights that the part before it made, [B, H, R, K]."""
        for _, method, own in self.acting("attention_weights", at):
            weights = method.attention_weights(own, weights)
        return weights

    def head_gain(self, at: At, outputs: Tensor) -> Tensor:
        """Multiply the parts' gains."""
        gain = outputs.new_ones(1, 1)
        for _, method, own in self.acting("head_gain", at):
            gain = gain * method.head_gain(own, outputs)
        return gain

    def hidden(self, at: At, hidden: Tensor) -> Tensor | None:
        """Let each part edit the stream [B, Q, D] in turn; note what all remember as one."""
        facts: list[Any] = [None] * len(self.methods)
        edited = None
        for part, method, own in self.acting("hidden", at):
            if at.part == "text" and at.phase not in method.hidden_phases:
                continue
            memory = replace(own.memory, remembered={}, prefix=None)  # joined below, for all parts
            changed = method.hidden(replace(own, memory=memory), hidden)
            facts[part] = memory.remembered.get(at.layer)
            if changed is not None:
                edited = hidden = changed
        if at.part == "text" and at.phase != "decode":
            at.remember(tuple(facts))
        return edited

    def feed_forward(self, at: At, inputs: Tensor, outputs: Tensor) -> Tensor:
        """Let each part edit the output that the part before it made, [B, Q, D]."""
        for _, method, own in self.acting("feed_forward", at):
            outputs = method.feed_forward(own, inputs, outputs)
        return outputs

    def next_token_logits(self, at: At, logits: Mapping[str, Tensor]) -> Tensor:
        """Let the part that decides make the row [B, V], then those that filter edit it."""
        order = sorted(self._with("next_token_logits"), key=lambda method: method.filters)
        current = dict(logits)
        for method in order:
            own = replace(at, memory=at.memory.of_part(self.methods.index(method), at.layer))
            current["main"] = method.next_token_logits(own, current)
        return current["main"]

    def search(self, loop: SearchLoop) -> list[int]:
        """Search as the one part that does."""
        (method,) = self._with("search")
        loop.part = self.methods.index(method)
        return method.search(loop)

    def revise(self, batch: Batch, texts: list[str], ask: Ask) -> list[str]:
        """Let each part revise what the part before it wrote."""
        for method in self._with("revise"):
            texts = method.revise(batch, texts, ask)
        return texts

    def confidence(self, batch: Batch, texts: list[str], ask: Ask) -> Sequence[float]:
        """Trust answers as far as the one part that says so does."""
        return self._with("confidence")[0].confidence(batch, texts, ask)

    def weights(self, model: VisionLanguageModel) -> Mapping[str, Tensor]:
        """Give the parameters of the one part that edits any."""
        return self._with("weights")[0].weights(model)
