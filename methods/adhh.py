"""AD-HH: adaptive deactivation of hallucination heads.

A few heads make the model say what its own text suggests. Where such a head attends to text behind
the image by more than a threshold, that part of its attention is taken away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from halluc.errors import UserError
from halluc.interventions import Calibrated, Method, MethodCard, MethodParams, method
from halluc.interventions.requirements import Heads, head_mask, needs_heads, needs_shared_rows
from halluc.methods._head_influence import influences
from halluc.methods._image_emphasis import seen
from halluc.methods._text_heads import cut, published_heads, strongest, text_keys

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.calibration import Calibrator
    from halluc.interventions import At
    from halluc.models import VisionLanguageModel


def _measured(model: VisionLanguageModel, demos: int) -> dict[tuple[int, int], float]:
    from halluc.calibration.demonstrations import drawn_demonstrations

    return influences(model, drawn_demonstrations(demos))


@method("adhh")
class ADHH(Method):
    """Takes attention to text from hallucination heads that give it 0.4 or more, last row."""

    card = MethodCard(
        title="Understanding and Mitigating Hallucination in Large Vision-Language Models via "
        "Modular Attribution and Intervention",
        authors="Yang, Li, Cao and Xu",
        year=2025,
        venue="ICLR",
        paper="https://openreview.net/forum?id=Bjq4W7P2Us",
        code="https://github.com/TianyunYoung/Hallucination-Attribution@841fc1b",
        deviations=(
            "from the published code; the paper's body was not read",
            "heads are published for LLaVA-1.5-7B (20) and 13B (35) and LLaVA-1.6-34B (10); for "
            "any other model the strongest 20 in 1024, at least one, are measured on drawn scenes",
            "a head is measured by cutting its attention to text where a true and a hallucinated "
            "caption part: how far the log-probability of the hallucinated word falls against that "
            "of the true one; the code silences the whole head, and takes probabilities of words "
            "that the model hallucinated itself in 3000 captions of COCO",
            "the threshold 0.4 is the code's script's; that of its comparison sets 0.5",
            "the code ran LLaVA-1.5 with Vicuna's system prompt: --model-args system_prompt=vicuna",
        ),
        needs=("image tokens in the prompt",),
    )
    rows = "last"
    prefix_depends_on = "nothing"
    noop: ClassVar[dict[str, Any]] = {"threshold": 2.0}

    class Params(MethodParams):
        """AD-HH's parameters."""

        threshold: float = Field(0.4, ge=0, description="least attention to text; above 1: never")
        heads: Heads | None = Field(None, min_length=1, description="heads by layer, 0-based")
        demos: int = Field(16, ge=1, description="demonstrations drawn to measure heads")

    params: Params

    @classmethod
    def requires(cls, params: Params, config: Any, model: str) -> None:
        """Refuse a model without image tokens in its prompt."""
        needs_shared_rows("adhh", config, model)

    @classmethod
    def resolve(cls, params: Params, model: VisionLanguageModel) -> Params:
        """Fill in heads, published or measured; check those that are given."""
        if params.heads is not None:
            needs_heads("adhh", params.heads, model)
            return params
        known = published_heads(model.model.config)
        heads = known or strongest(_measured(model, params.demos))
        return params.model_copy(update={"heads": heads})

    @classmethod
    def calibrate(cls, params: Params, calibrator: Calibrator) -> Calibrated:
        """Find the heads whose text makes hallucinated words likelier, on drawn scenes.

        Raises:
            UserError: If they are published for the checkpoint, and measuring was not asked for.
        """
        from halluc.calibration.demonstrations import counted

        if published_heads(calibrator.model.model.config) and not calibrator.recalibrate:
            raise UserError(
                f"{calibrator.model.name}: AD-HH's heads are published; --recalibrate measures "
                "them again"
            )
        params = counted(params, calibrator.samples, "adhh")
        found = _measured(calibrator.model, params.demos)
        report = {f"{layer}.{head}": influence for (layer, head), influence in found.items()}
        return Calibrated({"heads": strongest(found), "demos": params.demos}, {"influence": report})

    def layers(self, n_layers: int) -> list[int]:
        """Return the layers that `heads` names."""
        return sorted(self.params.heads or ())

    def attention_weights(self, at: At, weights: Tensor) -> Tensor:
        """Cut the chosen heads in the last row of each pass."""
        heads = head_mask(weights, self.params.heads, at.layer, at.n_heads)
        return cut(weights, heads, seen(at, text_keys(at)), self.params.threshold)
