"""What a method is: a card, parameters, and the seams it overrides.

A method file imports no torch at module level (types aside), so that listing methods is instant;
tensors bring their own operations.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from halluc.errors import UserError
from halluc.registry import Registry
from halluc.validation import checked, nested

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.calibration import Handful
    from halluc.interventions.context import Asked, Prompted, Site, VisionSite
    from halluc.interventions.engine import Engine
    from halluc.models import VisionLanguageModel

REGISTRY: Registry[Method] = Registry("method", "halluc.methods")

Beginning = Literal["nothing", "method", "question"]

SEAMS = ("bias", "scores", "weights", "heads", "observe", "tokens", "streams", "combine")


@dataclass(frozen=True)
class MethodCard:
    """Where a method comes from, and how ours differs.

    Attributes:
        code: The reference repository and the commit it was checked against.
        deviations: Known differences from the paper or its code, one sentence each.
    """

    title: str
    authors: str
    year: int
    venue: str
    paper: str
    code: str = ""
    deviations: tuple[str, ...] = ()


class MethodParams(BaseModel):
    """Base of every method's parameters: frozen, and closed to unknown names."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Method:
    """An inference-time intervention; overriding a seam declares it.

    Attributes:
        rows: Which query rows `scores` and `weights` receive: those after the image, only the last
            row of each forward pass, or all that are not padding.
        cross_attention: Whether attention seams are called, too, in layers whose keys are the image
            alone (Mllama).
        vision_layers: Layers of the vision tower whose CLS attention the method reads.
        beginning: What the rows up to the end of the image depend on, beside the model: on
            "nothing", on the "method" and its parameters, or on the "question" behind them.
            Questions about one image share these rows unless they depend on the question.
        noop: Parameters under which the method changes nothing; a test holds it to that.
    """

    name: ClassVar[str]
    card: ClassVar[MethodCard]
    rows: Literal["after_image", "last", "all"] = "after_image"
    cross_attention: ClassVar[bool] = False
    vision_layers: ClassVar[tuple[int, ...]] = ()
    beginning: Beginning = "question"
    noop: ClassVar[dict[str, Any]] = {}

    class Params(MethodParams):
        """No parameters."""

    def __init__(self, params: MethodParams) -> None:
        self.params = params

    @classmethod
    def parameters(cls, values: Mapping[str, Any] | None = None) -> MethodParams:
        """Check parameters; "vhr.gain" sets the gain of the part vhr.

        Raises:
            UserError: If there is no such parameter, or a value is of the wrong type.
        """
        return checked(cls.Params, nested(dict(values or {})), f"method {cls.name!r}")

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
    def decides(cls, params: Any) -> bool:
        """Whether the method has the last word on the next token, with these parameters."""
        return "combine" in cls.declared()

    @classmethod
    def resolve(cls, params: Any, model: VisionLanguageModel) -> MethodParams:
        """Fill in what depends on the model (sink dimensions, layers); what it returns is recorded.

        Raises:
            UserError: If this model lacks what the method needs.
        """
        resolved: MethodParams = params
        return resolved

    @classmethod
    def calibrate(cls, params: Any, handful: Handful) -> tuple[dict[str, Any], dict[str, Any]]:
        """Measure parameters that papers hard-code, on a few samples.

        Returns:
            Parameters to set where a user sets none, and numbers to report beside them.

        Raises:
            UserError: If the method has nothing to calibrate.
        """
        raise UserError(f"method {cls.name!r} has nothing to calibrate")

    @classmethod
    def declared(cls) -> tuple[str, ...]:
        """Names of the seams this method overrides."""
        return tuple(seam for seam in SEAMS if getattr(cls, seam) is not getattr(Method, seam))

    def layers(self, n_layers: int) -> Collection[int]:
        """Indices of the layers the seams are called in; all of them unless overridden."""
        return range(n_layers)

    def reading(self) -> Any:
        """What reading a beginning depends on beside the model; equal values share it."""
        if self.beginning == "nothing" and "observe" not in self.declared():
            return self.vision_layers
        return self.name, self.params.model_dump_json()

    def begin(self, prompted: Prompted) -> Any:
        """Make the memory of one batch, found again as `site.state`."""
        return None

    def prepare(self, engine: Engine, inputs: dict[str, Any]) -> int:
        """Look at the prompts in forward passes of the method's own, before they are answered.

        Args:
            engine: Its `read` runs such a pass; seams are live in it.
            inputs: The model's inputs for the batch.

        Returns:
            Passes made for each sample.
        """
        return 0

    def bias(self, site: Site) -> Tensor:
        """Additive bias on the attention logits, the same whatever they are.

        Returns:
            [B or 1, H or 1, Q or 1, K]; Q counts all rows of the pass, not only R.
        """
        raise NotImplementedError

    def scores(self, site: Site, scores: Tensor) -> Tensor:
        """Edit attention logits before the softmax.

        Args:
            scores: q.k / sqrt(d), fp32, [B, H, R, K]; masked entries hold the dtype's minimum.
        """
        raise NotImplementedError

    def weights(self, site: Site, attention: Tensor) -> Tensor:
        """Edit attention weights after the softmax, fp32 [B, H, R, K]."""
        raise NotImplementedError

    def heads(self, site: Site, outputs: Tensor) -> Tensor:
        """Give each head a gain on its output before o_proj.

        Args:
            outputs: Attention times values [B, Q, H, d].

        Returns:
            [B, H] or broadcastable to it.
        """
        raise NotImplementedError

    def observe(self, site: Site, hidden: Tensor) -> Any:
        """Read the residual stream that enters this layer while the prompt is read.

        Args:
            site: Its `rows` is [B, Q]; Q is less than the prompt where its beginning was read
                before, by a call of its own.
            hidden: [B, Q, D].

        Returns:
            What to remember of each token, [B, Q, ...], found again for the whole prompt as
            `site.observed`; or None.
        """
        raise NotImplementedError

    def tokens(self, site: VisionSite, hidden: Tensor) -> Tensor:
        """Drop or merge patches behind a layer of the vision tower; placeholders shrink with them.

        Images are encoded one at a time here, so that none can see how many patches another lost.

        Args:
            site: Which layer, its CLS attention and values.
            hidden: The layer's output [N, 1 + P, D], CLS first.

        Returns:
            [N, 1 + P', D]. At the layer of the features P' is the same for images of one size.
            Patches that stay keep their order.
        """
        raise NotImplementedError

    def streams(self, model: VisionLanguageModel, asked: Asked) -> list[dict[str, Any]]:
        """Give further inputs to decode beside the main ones, each with a cache of its own.

        Returns:
            Model inputs of B rows each (`model.encode` or `model.without_image` make them), of
            any length; all streams are fed the tokens that `combine` leads to.
        """
        raise NotImplementedError

    def combine(self, logits: Tensor, step: int) -> Tensor:
        """Make one row of next-token logits of the streams'.

        Args:
            logits: fp32 [S, B, V], the main stream first; under beams B counts beams and these are
                log-probabilities.
            step: 0 for the first generated token.

        Returns:
            [B, V]; -inf forbids a token.
        """
        raise NotImplementedError


def method(name: str) -> Callable[[type[Method]], type[Method]]:
    """Register the decorated `Method` under `name`, which `--method` then takes."""

    def decorate(cls: type[Method]) -> type[Method]:
        cls.name = name
        return REGISTRY.register(name)(cls)

    return decorate
