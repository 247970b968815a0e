"""PAI: Pay Attention to Image.

The last row attends more to every image token, by a share of each logit's own size, and what the
prompt leads to without its image is guided away from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from halluc.interventions import Cost, MethodCard, MethodParams, method
from halluc.interventions.requirements import needs_shared_rows
from halluc.methods._image_emphasis import GuidedBoost, raised, seen

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions import At


@method("pai")
class PAI(GuidedBoost):
    """Boosts all image tokens for the last row, layers 2 to L-1, and guides by gamma 1.1."""

    card = MethodCard(
        title="Paying More Attention to Image: A Training-Free Method for Alleviating "
        "Hallucination in LVLMs",
        authors="Liu, Zheng and Chen",
        year=2024,
        venue="ECCV",
        paper="arXiv:2407.21771",
        code="https://github.com/LALBJ/PAI@9bbd8bd",
        licence="MIT",
        deviations=(
            "from the published code; the paper's body was not read",
            "alpha 0.5 is the paper's for LLaVA-1.5, at second hand (0.6 for Shikra, 0.2 for "
            "MiniGPT-4); the code's commands set 0.2 (variant official_code)",
            "gamma 1.1 is the paper's and the code's commands'; without them the code takes 2",
            "with guidance on, the code keeps the boost from the prompt and so from the first "
            "token: variant official_code; variant paper boosts the prompt's last row too",
            "the layers are 2 to the last as in the code's commands, whatever the model's depth",
            "the code's stream without image keeps its cache in place when beams change places; "
            "here both streams follow the beams",
            "the code ran LLaVA-1.5 with Vicuna's system prompt: --model-args system_prompt=vicuna",
        ),
        cost=Cost(token=2),
        needs=("image tokens in the prompt",),
    )
    noop: ClassVar[dict[str, Any]] = {"alpha": 0.0, "gamma": 1.0}

    class Params(MethodParams):
        """PAI's parameters; None takes the variant's own value."""

        variant: Literal["paper", "official_code"] = "paper"
        alpha: float | None = Field(None, ge=0, description="the boost, a share of each logit")
        gamma: float = Field(1.1, ge=1, description="guidance; 1 is none")
        first_layer: int = Field(2, ge=0, description="first layer boosted, 0-based")
        boost_prompt: bool | None = Field(None, description="boost at prefill")

    params: Params

    @classmethod
    def requires(cls, params: Params, config: Any, model: str) -> None:
        """Refuse a model without image tokens in its prompt."""
        needs_shared_rows("pai", config, model)

    @classmethod
    def filled(cls, params: Params) -> Params:
        """Fill in alpha and the prompt's boost by variant; without guidance the code boosts it."""
        paper = params.variant == "paper"
        filled: dict[str, Any] = {}
        if params.alpha is None:
            filled["alpha"] = 0.5 if paper else 0.2
        if params.boost_prompt is None:
            filled["boost_prompt"] = paper or params.gamma == 1
        return params.model_copy(update=filled)

    def attention_logits(self, at: At, logits: Tensor) -> Tensor:
        """Give S + alpha |S| on image keys in the last row of each pass (attention.py:90-95)."""
        if at.prefill and not self.params.boost_prompt:
            return logits
        assert self.params.alpha is not None
        return raised(logits, self.params.alpha * seen(at, at.image_columns).to(logits))
