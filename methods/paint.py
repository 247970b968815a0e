"""PAINT: boosts the attention logits of two kinds of image tokens by their own magnitude.

Local tokens are the ones the vision tower's CLS token attends to in its first layer, summary tokens
the outliers of what it attends to in the layer whose features the language model reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from halluc.interventions import MethodCard, MethodParams, method
from halluc.interventions.requirements import needs_cls, needs_patch_tokens
from halluc.methods._image_emphasis import GuidedBoost, emphasise, local_tokens, summary_tokens

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions import At, Batch

_FIRST, _FEATURES = 0, -2  # layers of the vision tower; the published code fixes both


@method("paint")
class PAINT(GuidedBoost):
    """Emphasises local and summary image tokens for the last row, layers 2 to L-1."""

    card = MethodCard(
        title="Fixing Imbalanced Attention to Mitigate In-Context Hallucination of LVLMs",
        authors="Arif et al.",
        year=2025,
        venue="arXiv",
        paper="arXiv:2501.12206",
        code="https://github.com/hasanar1f/PAINT@2a9e8f8",
        licence="Apache-2.0",
        deviations=(
            "from the published code; the first abstract's head-specific modulation is in no code",
            "every published run had PAI's classifier-free guidance on (gamma 1.1), which kept the "
            "boost from the prompt and so from the first token: variant official_code, unless "
            "gamma is 1; variant paper boosts the prompt's last row and guides nothing",
            "with tiles (LLaVA-NeXT) an image's tokens are chosen among those of all its tiles; "
            "tokens that end a line get no attention",
            "the layer of the summary tokens is the last but one whatever layer the language model "
            "reads, as in the code",
            "alpha 0.7 and beta 0.3 are the code's arguments; its script for captions ran 0.9 and "
            "0.3, that for POPE 0.5",
            "the code ran LLaVA-1.5 with Vicuna's system prompt: --model-args system_prompt=vicuna",
            "guidance keeps tokens of a tenth of the likeliest one's probability or more, as PAI's",
        ),
    )
    vision_layers: tuple[int, ...] = (_FIRST, _FEATURES)
    noop = {"alpha": 0.0, "beta": 0.0}

    class Params(MethodParams):
        """PAINT's parameters; None takes the variant's own value."""

        variant: Literal["paper", "official_code"] = "paper"
        alpha: float = Field(0.7, ge=0, description="margin of local tokens")
        beta: float = Field(0.3, ge=0, description="margin of summary tokens")
        local_ratio: float = Field(0.25, ge=0, le=1, description="share of local tokens")
        first_layer: int = Field(2, ge=0, description="first layer boosted, 0-based")
        gamma: float | None = Field(None, ge=1, description="guidance; 1 is none")
        boost_prompt: bool | None = Field(None, description="boost at prefill")

    params: Params

    @classmethod
    def requires(cls, params: Params, config: Any, model: str) -> None:
        """Refuse a model without a CLS token, or with image tokens other than patches."""
        needs_cls("paint", config, model)
        needs_patch_tokens("paint", config, model)

    @classmethod
    def filled(cls, params: Params) -> Params:
        """Fill in guidance and the prompt's boost by variant."""
        paper = params.variant == "paper"
        filled: dict[str, Any] = {}
        if params.gamma is None:
            filled["gamma"] = 1.0 if paper else 1.1
        if params.boost_prompt is None:
            filled["boost_prompt"] = paper or (params.gamma or 0) == 1
        return params.model_copy(update=filled)

    def begin(self, batch: Batch) -> dict[str, Tensor]:
        """Start without local and summary columns of the prompt, bool [B, L]."""
        return {}

    def attention_logits(self, at: At, logits: Tensor) -> Tensor:
        """Emphasise in the last row of each pass."""
        if at.prefill and self.params.boost_prompt is False:
            return logits
        if not at.state:
            self._select(at)
        return emphasise(
            logits,
            at.on_keys(at.state["local"]),
            at.on_keys(at.state["summary"]),
            at.rows,
            alpha=self.params.alpha,
            beta=self.params.beta,
        )

    def _select(self, at: At) -> None:
        seen, image = at.memory.vision_attention, at.tokens.image_mask
        local, summary = image.clone(), image.clone()
        rows = image.any(1).nonzero()[:, 0].tolist()
        for row, first, features in zip(rows, seen[_FIRST], seen[_FEATURES], strict=True):
            outliers = summary_tokens(features.sum(1)[None])
            top = local_tokens(first.sum(1)[None], outliers, self.params.local_ratio)
            local[row, image[row]], summary[row, image[row]] = top[0], outliers[0]
        at.state.update(local=local, summary=summary)
