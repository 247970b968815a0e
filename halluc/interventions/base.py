"""Base class of methods: how one is prepared for a model, and the seams it overrides.

A method file imports no torch at module level (types aside), so that listing methods is instant;
tensors bring their own operations.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from halluc.errors import UserError
from halluc.interventions.card import KINDS, Calibrated, MethodCard, MethodParams
from halluc.interventions.card import Cost as Cost  # HALC, whose text is its key, looks here
from halluc.interventions.seams import PHASES, SEAMS
from halluc.registry import Registry
from halluc.validation import checked, nested

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions.context import Ask, At, Batch
    from halluc.interventions.search_loop import SearchLoop
    from halluc.models import VisionLanguageModel

    Inputs = Mapping[str, Any]
    Forward = Callable[[Inputs], Tensor]

REGISTRY: Registry[Method] = Registry("method", "halluc.methods")

Dependence = Literal["nothing", "method", "question"]


class Method:
    """An inference-time intervention; overriding a seam declares it.

    Attributes:
        rows: The query rows that attention seams receive: those after the image, only the last row
            of each forward pass, or all that are not padding.
        cross_attention: Attention seams are also called in layers whose keys are the image alone
            (Mllama).
        vision_layers: Layers of the vision tower whose CLS attention the method reads.
        in_vision_tower: `hidden` and `feed_forward` are also called in the vision tower.
        attention_in_tower: `attention_weights` is also called in the vision tower, in every layer.
        resting: Declared seams that are not called with these parameters.
        hidden_phases: The phases in which `hidden` is called; fewer cost less.
        attention_phases: The phases in which `attention_logits` and `attention_weights` are called;
            a method that looks at the prompt only costs nothing for generated tokens.
        withhold_below: Answers whose `confidence` is less are withheld.
        filters: `next_token_logits` only filters or overrides the row that another part of a
            composite made, so that both can act.
        prefix_depends_on: What the rows up to the end of the image depend on, next to the model: on
            "nothing", on the "method" and its parameters, or on the "question" behind them.
            Questions about one image share these rows unless they depend on the question.
        methods: The parts of a composite; empty for any other method.
        noop: Parameters under which the method changes nothing; a test checks it.

    Examples:
        >>> import halluc
        >>> class Look(halluc.Method):
        ...     def attention_bias(self, at):
        ...         return 0.5 * at.image_columns[:, None, None, :].float()
        >>> Look.declared()
        ('attention_bias',)
    """

    name: ClassVar[str]
    card: ClassVar[MethodCard]
    rows: Literal["after_image", "last", "all"] = "after_image"
    cross_attention: ClassVar[bool] = False
    vision_layers: tuple[int, ...] = ()
    in_vision_tower: bool = False
    attention_in_tower: bool = False
    resting: Collection[str] = ()
    hidden_phases: Collection[str] = PHASES
    attention_phases: Collection[str] = PHASES
    takes_gradients: bool = False
    withhold_below: float = 0.0
    filters: ClassVar[bool] = False
    prefix_depends_on: Dependence = "question"
    noop: ClassVar[dict[str, Any]] = {}
    methods: Sequence[Method] = ()

    class Params(MethodParams):
        """No parameters."""

    def __init__(self, params: MethodParams) -> None:
        self.params = params

    # -- Preparing a method for a model ------------------------------------------------------------

    @classmethod
    def parameters(cls, values: Mapping[str, Any] | None = None) -> MethodParams:
        """Check parameters; "vhr.gain" sets the gain of the part vhr.

        Raises:
            UserError: If a parameter does not exist, or a value is of the wrong type.
        """
        return checked(cls.Params, nested(dict(values or {})), f"method {cls.name!r}")

    @classmethod
    def for_model(
        cls, model: VisionLanguageModel, values: Mapping[str, Any] | MethodParams | None = None
    ) -> Self:
        """Prepare the method for a loaded model: check, resolve, construct, load.

        Args:
            values: Parameters; those that are missing take their defaults.

        Raises:
            UserError: If a parameter is wrong, or the model lacks what the method needs.
        """
        from halluc.interventions.requirements import needs_masks, needs_reached_layers

        params = values if isinstance(values, MethodParams) else cls.parameters(values)
        cls.requires(params, model.model.config, model.name)
        needs_masks(cls, model.text_attention)
        method = cls(cls.resolve(params, model))
        needs_reached_layers(method, model)
        method.load(model)
        return method

    @classmethod
    def requires(cls, params: Any, config: Any, model: str) -> None:
        """Refuse a model by its transformers configuration, before its weights are loaded.

        Args:
            config: The model's configuration.
            model: Its name, for the message.

        Raises:
            UserError: Naming what the model lacks.
        """

    @classmethod
    def resolve(cls, params: Any, model: VisionLanguageModel) -> MethodParams:
        """Fill in what depends on the model (sink dimensions, layers); the result is recorded.

        Raises:
            UserError: If this model lacks what the method needs.
        """
        resolved: MethodParams = params
        return resolved

    @classmethod
    def calibrate(cls, params: Any, calibrator: Any) -> Calibrated:
        """Measure parameters that papers hard-code, on a few samples.

        Args:
            calibrator: A `halluc.calibration.Calibrator`: the model, samples, measures.

        Raises:
            UserError: If the method has nothing to calibrate.
        """
        raise UserError(f"method {cls.name!r} has nothing to calibrate")

    def load(self, model: VisionLanguageModel) -> None:
        """Load what is not a parameter (vectors, another model), once, before any batch."""

    @classmethod
    def declared(cls) -> tuple[str, ...]:
        """Return the names of the seams this method overrides."""
        return tuple(seam for seam in SEAMS if getattr(cls, seam) is not getattr(Method, seam))

    def active(self) -> tuple[str, ...]:
        """Return the names of the declared seams that are called with these parameters."""
        return tuple(seam for seam in self.declared() if seam not in self.resting)

    @classmethod
    def kinds(cls) -> tuple[str, ...]:
        """Return the kinds of method this is, by the seams it overrides."""
        kinds = [kind for seams, kind in KINDS if set(seams) & set(cls.declared())]
        if "next_token_logits" in cls.declared() and "contrast" not in kinds:
            early = cls.early_layers is not Method.early_layers
            kinds.append("early layers" if early else "logits")
        return tuple(dict.fromkeys(kinds))

    @classmethod
    def decides(cls, params: Any) -> bool:
        """Return whether the method makes the next token's logits, with these parameters."""
        return "next_token_logits" in cls.declared() and not cls.filters

    def layers(self, n_layers: int) -> Collection[int]:
        """Return the layers the seams are called in; all of them unless overridden.

        `hidden` may name `n_layers`, too: what leaves the last layer.
        """
        return range(n_layers)

    def early_layers(self, n_layers: int) -> Collection[int]:
        """Return the layers that `At.early` will be asked for, counted as hidden states are."""
        return ()

    def prefix_key(self) -> Any:
        """Return what a shared prefix depends on next to the model; equal values share it."""
        free = self.prefix_depends_on == "nothing" and "hidden" not in self.declared()
        return self.vision_layers if free else (self.name, self.params.model_dump_json())

    # -- A batch's own memory ----------------------------------------------------------------------

    def begin(self, batch: Batch) -> Any:
        """Make the memory of one batch, which seams find as `at.state`."""
        return None

    def reorder(self, state: Any, rows: Tensor) -> Any:
        """Let the memory follow beams that change places.

        Args:
            rows: The row each row goes on from, int [B]; B counts beams and streams.

        Returns:
            The memory with its rows in their new order.
        """
        return state

    # -- Seams -------------------------------------------------------------------------------------

    def prompt(self, batch: Batch) -> Batch:
        """Rewrite prompts or images before they are encoded."""
        raise NotImplementedError

    def streams(self, batch: Batch, model: VisionLanguageModel) -> dict[str, Inputs]:
        """Give further inputs to decode next to the main ones, each with a cache of its own.

        Returns:
            By the stream's name, model inputs of B rows each (`model.encode` or
            `model.without_image` make them), of any length; all streams are fed the tokens that
            `next_token_logits` leads to. `batch.ask` asks the model something first.
        """
        raise NotImplementedError

    def prepare(self, at: At, inputs: Inputs, forward: Forward) -> None:
        """Look at the prompts in forward passes of the method's own, before they are answered.

        Args:
            inputs: The model's inputs for the batch.
            forward: Runs such a pass on inputs of any number of rows N, with seams called, and
                returns next-token logits [N, V]; each pass is counted.
        """
        raise NotImplementedError

    def image_tokens(self, at: At, hidden: Tensor) -> Tensor:
        """Drop or merge patches behind a layer of the vision tower; placeholders shrink with them.

        Images are encoded one at a time, so that none depends on how many patches another lost.

        Args:
            at: `at.tower` has the layer's CLS attention and values.
            hidden: The layer's output [N, 1 + P, D], CLS first.

        Returns:
            [N, 1 + P', D]. At the layer of the features P' is the same for images of one size.
            Patches that stay keep their order.
        """
        raise NotImplementedError

    def attention_bias(self, at: At) -> Tensor:
        """Give an additive bias on the attention logits; it cannot depend on them.

        Returns:
            [B or 1, H or 1, Q or 1, K]; Q counts all rows of the pass, not only R.
        """
        raise NotImplementedError

    def attention_logits(self, at: At, logits: Tensor) -> Tensor:
        """Edit attention logits before the softmax.

        Args:
            logits: q.k / sqrt(d), fp32, [B, H, R, K]; masked entries hold the dtype's minimum.

        Returns:
            [B, H, R, K].
        """
        raise NotImplementedError

    def attention_weights(self, at: At, weights: Tensor) -> Tensor:
        """Edit attention weights after the softmax.

        Args:
            weights: fp32 [B, H, R, K]; in the vision tower [N, H, T, T], N images or tiles, or a
                part of one image at a time where the tower sees patches below each other.

        Returns:
            [B, H, R, K], or [N, H, T, T].
        """
        raise NotImplementedError

    def head_gain(self, at: At, outputs: Tensor) -> Tensor:
        """Give each head a gain on its output before o_proj.

        Args:
            outputs: Attention times values [B, Q, H, d].

        Returns:
            [B, H] or broadcastable to it.
        """
        raise NotImplementedError

    def hidden(self, at: At, hidden: Tensor) -> Tensor | None:
        """Read or edit the residual stream that enters a layer, in every pass.

        Args:
            at: `at.rows` is bool [B, Q]; Q is less than the prompt where its prefix was read
                before, by a call of its own. `at.remember` keeps facts about the prompt's tokens.
            hidden: [B, Q, D]; in the vision tower [N, T, D], or [T, D] where the tower sees patches
                of all images below each other.

        Returns:
            The edited stream, or None to leave it as it is.
        """
        raise NotImplementedError

    def feed_forward(self, at: At, inputs: Tensor, outputs: Tensor) -> Tensor:
        """Edit what a layer's feed-forward network adds to the residual stream.

        Args:
            inputs: The network's input [B, Q, D]; in the vision tower [N, T, D], or [T, D] where
                the tower sees patches of all images below each other.
            outputs: Its output, of the same shape.

        Returns:
            The edited output, of the same shape.
        """
        raise NotImplementedError

    def next_token_logits(self, at: At, logits: Mapping[str, Tensor]) -> Tensor:
        """Join the streams' next-token logits into one row for each prompt.

        Args:
            at: `at.early(layer)` reads earlier layers, `at.generated` the tokens so far,
                `at.forbid(mask)` rules tokens out.
            logits: By stream, fp32 [B, V], "main" first; under beams B counts beams and these are
                log-probabilities.

        Returns:
            [B, V].
        """
        raise NotImplementedError

    def search(self, loop: SearchLoop) -> list[int]:
        """Decode one prompt by a loop of the method's own, in place of greedy search or beams.

        Args:
            loop: Steps forward, forks rows, rolls back; its rows begin as one copy of the prompt.

        Returns:
            The tokens of the answer, the end token included where it was chosen.
        """
        raise NotImplementedError

    def revise(self, batch: Batch, texts: list[str], ask: Ask) -> list[str]:
        """Rewrite finished answers; the drafts are kept in the answers' traces.

        Args:
            texts: One for each prompt of the batch.
            ask: `batch.ask`.

        Returns:
            The final texts, one for each prompt.
        """
        raise NotImplementedError

    def confidence(self, batch: Batch, texts: list[str], ask: Ask) -> Sequence[float]:
        """Say how far each finished answer can be trusted; what is below the limit is withheld.

        Args:
            texts: One for each prompt of the batch, revised.
            ask: `batch.ask`.

        Returns:
            0 to 1 for each prompt.
        """
        raise NotImplementedError

    def weights(self, model: VisionLanguageModel) -> Mapping[str, Tensor]:
        """Give parameters other values for the length of a batch.

        Returns:
            The values by the parameter's name in `model.model`; the model's own are put back bit
            for bit.
        """
        raise NotImplementedError


def no_method() -> Method:
    """Return the method that does nothing: the model as it is.

    The baseline does as little, but has a name and a card, and shares the prefixes of its prompts.
    """
    return Method(MethodParams())


def method(name: str) -> Callable[[type[Method]], type[Method]]:
    """Register the decorated `Method` under `name`, which `--method` then takes.

    Examples:
        >>> import halluc
        >>> @halluc.method("look")
        ... class Look(halluc.Method):
        ...     def attention_bias(self, at):
        ...         return 0.5 * at.image_columns[:, None, None, :].float()
        >>> halluc.evaluate("glyph", "look", "glyph_pope", limit=1).methods
        ['baseline', 'look']
    """

    def decorate(cls: type[Method]) -> type[Method]:
        cls.name = name
        return REGISTRY.register(name)(cls)

    return decorate
