"""VAF: Visual Amplification Fusion (ClearSight).

In the middle layers, where image and text are joined, attention logits of image tokens are scaled
up and those of the tokens before the image down.
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


def before_image(image: Tensor, real: Tensor) -> Tensor:
    """Mark the tokens before the first image token, bool [B, L]; none where there is no image.

    Args:
        image: Image tokens, bool [B, L].
        real: Tokens that are not padding, bool [B, L].
    """
    return real & (image.cumsum(1) == 0) & image.any(1, keepdim=True)


def amplified(
    scores: Tensor, image: Tensor, system: Tensor, enhance: float, suppress: float
) -> Tensor:
    """Scale logits: e S on image keys, s S on the system prompt's (inference/AttnAdapter.py:70-78).

    The paper's Z + a M_enh Z - b M_sup Z, with e = 1 + a and s = 1 - b.

    Args:
        scores: Attention logits [B, H, R, K].
        image, system: bool [B, 1, R, K], disjoint.
        enhance, suppress: e and s; 1 changes nothing.
    """
    factor = (enhance - 1) * image.to(scores) + (suppress - 1) * system.to(scores)
    return scores + factor * scores


@method("vaf")
class VAF(MiddleLayers):
    """Scales logits of the image by 1.15 and of the system prompt by 0.95, layers 9 to 14 of 32."""

    card = MethodCard(
        title="ClearSight: Visual Signal Enhancement for Object Hallucination Mitigation in "
        "Multimodal Large Language Models",
        authors="Yin, Si and Wang",
        year=2025,
        venue="CVPR",
        paper="arXiv:2503.13107",
        code="https://github.com/ustc-hyin/ClearSight@5466c94",
        deviations=(
            "the paper was read at second hand: it restricts the edit to heads that perceive the "
            "image, by a rule we have not read; all heads are edited, as in the code",
            "1.15 and 0.95 are the code's script's; third parties give the paper's coefficients as "
            "0.15 and 0.1, or as 0.1 and 0.15, for the image and the system prompt",
            "the system prompt is whatever stands before the first image token, the code's first "
            "35 tokens of 7B prompts; where prompts start with the image nothing is suppressed",
            "with several images or tiles, rows behind the last image token are edited",
            "layers 9 to 14 of 32 scale with the model's depth, which is our choice",
            "the code ran LLaVA-1.5 with Vicuna's system prompt: --model-args system_prompt=vicuna",
        ),
        needs=("image tokens in the prompt",),
    )
    published = Span(9, 14)
    noop: ClassVar[dict[str, Any]] = {"enhance": 1.0, "suppress": 1.0}

    class Params(MethodParams):
        """VAF's parameters; None takes what fits the model's depth."""

        enhance: float = Field(1.15, ge=0, description="factor on logits of the image")
        suppress: float = Field(0.95, ge=0, description="factor on logits of the system prompt")
        first_layer: int | None = Field(None, ge=0, description="first layer edited, 0-based")
        last_layer: int | None = Field(None, ge=0, description="last layer edited")

    params: Params

    def attention_logits(self, at: At, logits: Tensor) -> Tensor:
        """Amplify in the rows behind the image."""
        tokens = at.tokens
        system = at.on_keys(before_image(tokens.image_mask, tokens.attention_mask.bool()))
        image, system = seen(at, at.image_columns), seen(at, system)
        return amplified(logits, image, system, self.params.enhance, self.params.suppress)
