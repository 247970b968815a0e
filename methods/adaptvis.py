"""AdaptVis: attention to the image is sharpened where the model is sure, and smoothed elsewhere.

Logits of image tokens are scaled for the prompt's last row. A first pass tells how sure the model
is; with a fixed weight the same scaling is the paper's ScalingVis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from halluc.interventions import Cost, Method, MethodCard, MethodParams, method
from halluc.interventions.requirements import needs_shared_rows
from halluc.methods._image_emphasis import seen

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions import At, Batch
    from halluc.interventions.base import Forward, Inputs


def confidence(logits: Tensor, rounded: bool = False) -> Tensor:
    """Give the likeliest token's probability, fp64 [B], of next-token logits [B, V].

    Args:
        rounded: To two decimals, as the code does (llava15.py:386).
    """
    likeliest = logits.double().softmax(-1).amax(-1)
    return (100 * likeliest).round() / 100 if rounded else likeliest


def weight_of(sure: Tensor, threshold: float, smooth: float, sharpen: float) -> Tensor:
    """Choose a weight a row: smooth where c < threshold, else sharpen (llava15.py:390-399).

    Args:
        sure: The confidence c [B].

    Returns:
        fp32 [B].
    """
    return smooth + (sharpen - smooth) * (sure >= threshold).float()


@dataclass
class Weights:
    """Factors of a batch, chosen by `prepare`.

    Attributes:
        chosen: fp32 [B], B counting streams; None before.
    """

    chosen: Tensor | None = None


@method("adaptvis")
class AdaptVis(Method):
    """Scales the last prompt row's logits of the image, by 0.5 if unsure and by 1.5 if sure."""

    card = MethodCard(
        title="Why Is Spatial Reasoning Hard for VLMs? An Attention Mechanism Perspective on Focus "
        "Areas",
        authors="Chen et al.",
        year=2025,
        venue="ICML",
        paper="arXiv:2503.01773",
        code="https://github.com/shiqichen17/AdaptVis@3b41399",
        deviations=(
            "from the published code; the paper's body was not read",
            "0.5, 1.5 and the threshold 0.4 are the code's script's for one benchmark of spatial "
            "relations; others tune 0.5 to 0.8, 1.2 to 2 and 0.3 to 0.4",
            "the code rounds confidence to two decimals first: variant official_code",
            "the first pass reads the prompt only; the code writes a whole answer with it",
            "the code scales everything from the first image token to the last, here image tokens "
            "alone; they differ where text stands between tiles",
            "a fixed `weight` is ScalingVis, without the first pass",
        ),
        cost=Cost(prompt=1),
        needs=("image tokens in the prompt",),
    )
    rows = "last"
    attention_phases = ("prefill",)
    prefix_depends_on = "nothing"  # with a fixed weight; else prompts are read whole, not shared
    noop: ClassVar[dict[str, Any]] = {"weight": 1.0}

    class Params(MethodParams):
        """AdaptVis's parameters."""

        variant: Literal["paper", "official_code"] = "paper"
        smooth: float = Field(0.5, ge=0, description="factor where the model is unsure")
        sharpen: float = Field(1.5, ge=0, description="factor where it is sure")
        threshold: float = Field(0.4, ge=0, description="least confidence of a model that is sure")
        weight: float | None = Field(None, ge=0, description="a fixed factor; None: by confidence")

    params: Params

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        self.resting = () if params.weight is None else ("prepare",)

    @classmethod
    def requires(cls, params: Params, config: Any, model: str) -> None:
        """Refuse a model without image tokens in its prompt."""
        needs_shared_rows("adaptvis", config, model)

    def begin(self, batch: Batch) -> Weights:
        """Start without weights, unless one is given."""
        return Weights()

    def prepare(self, at: At, inputs: Inputs, forward: Forward) -> None:
        """Choose each prompt's weight by a pass that scales nothing."""
        params = self.params
        sure = confidence(forward(inputs), rounded=params.variant == "official_code")
        at.state.chosen = weight_of(sure, params.threshold, params.smooth, params.sharpen)

    def attention_logits(self, at: At, logits: Tensor) -> Tensor:
        """Give w S on image keys, in the prompt's last row (modeling_llama_add_attn.py:268-287)."""
        weight: Tensor | None = at.state.chosen
        if self.params.weight is not None:
            weight = logits.new_full((1,), self.params.weight)
        elif weight is not None:
            weight = weight.repeat_interleave(len(logits) // len(weight))
        if weight is None:
            return logits
        return logits * (1 + (weight[:, None, None, None] - 1) * seen(at, at.image_columns))
