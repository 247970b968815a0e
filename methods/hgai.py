"""HGAI: Heads Guided Attention Intervention.

In the middle layers all heads look more at those image tokens that the heads together look at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from halluc.interventions import MethodCard, MethodParams, method
from halluc.methods._image_emphasis import seen
from halluc.methods._middle_layers import MiddleLayers, Span

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions import At


def guided_by_heads(scores: Tensor, keys: Tensor, alpha: float) -> Tensor:
    """Raise logits of all heads alike: S_h + alpha mean_h |S_h| (modify_attention.py:83-88).

    Args:
        scores: Attention logits [B, H, R, K].
        keys: Where they are raised, bool [B, 1, R, K].
        alpha: At least 0.
    """
    size = scores.abs().mean(1, keepdim=True).where(keys, scores.new_zeros(()))
    return scores + alpha * size


@method("hgai")
class HGAI(MiddleLayers):
    """Raises logits of the image by half their mean size over heads, layers 5 to 18 of 32."""

    card = MethodCard(
        title="Devils in Middle Layers of Large Vision-Language Models: Interpreting, Detecting "
        "and Mitigating Object Hallucinations via Attention Lens",
        authors="Jiang et al.",
        year=2025,
        venue="CVPR",
        paper="arXiv:2411.16724",
        code="https://github.com/ZhangqiJiang07/middle_layers_indicating_hallucinations@a0622a9",
        deviations=(
            "from the published code; the paper's body was not read",
            "layers 5 to 18 of 32, both included, are those of the code's runs and of the answers "
            "it ships; its README's call leaves out the last. At other depths they scale with it, "
            "which is our choice",
            "the mean is over query heads, of which grouped-query models have several a key",
            "the code ran LLaVA-1.5 with Vicuna's system prompt: --model-args system_prompt=vicuna",
        ),
        needs=("image tokens in the prompt",),
    )
    rows = "last"
    published = Span(5, 18)
    noop: ClassVar[dict[str, Any]] = {"alpha": 0.0}

    class Params(MethodParams):
        """HGAI's parameters; None takes what fits the model's depth."""

        alpha: float = Field(0.5, ge=0, description="the boost, a share of the heads' mean size")
        first_layer: int | None = Field(None, ge=0, description="first layer guided, 0-based")
        last_layer: int | None = Field(None, ge=0, description="last layer guided")

    params: Params

    def attention_logits(self, at: At, logits: Tensor) -> Tensor:
        """Guide the last row of each pass."""
        return guided_by_heads(logits, seen(at, at.image_columns), self.params.alpha)
