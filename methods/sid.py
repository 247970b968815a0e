"""SID: Self-Introspective Decoding.

The model says itself which image tokens matter least to what comes next. Another stream sees these
alone behind the first layers; what it leads to is taken off.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from halluc.errors import UserError
from halluc.interventions import Cost, MethodCard, method
from halluc.interventions.requirements import needs_shared_rows
from halluc.interventions.two_streams import TwoStreams
from halluc.methods._dropped_tokens import away, in_stream, smallest

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions import At, Batch
    from halluc.interventions.base import Inputs
    from halluc.models import VisionLanguageModel

_LAYER, _DEPTH = 2, 32  # the published code's, of LLaVA-1.5-7B
_KEPT, _TOKENS = 100, 576


def unattended(weights: Tensor, image: Tensor, share: float) -> Tensor:
    """Mark the image tokens that the last row attends to least, on average over heads.

    The least of the mean over h of A_h[last] (SID: modeling_llama.py:778-786).

    Args:
        weights: Attention weights of a layer [B, H, R, K].
        image: Which keys are image tokens, bool [B, K].
        share: Of the image tokens.

    Returns:
        bool [B, K].
    """
    return smallest(weights[:, :, -1].mean(1), image, share)


@method("sid")
class SID(TwoStreams):
    """Contrasts with a stream that sees the least attended image tokens alone."""

    card = MethodCard(
        title="Self-Introspective Decoding: Alleviating Hallucinations for Large Vision-Language "
        "Models",
        authors="Huo et al.",
        year=2025,
        venue="ICLR",
        paper="arXiv:2408.02032",
        code="https://github.com/huofushuo/SID@127dd41",
        deviations=(
            "from the published code; of the paper only the abstract was read",
            "100 of 576 tokens are a share of other numbers of image tokens, at least one; the "
            "code's script for captions keeps 50 and fails where an image has fewer tokens",
            "tokens are chosen behind layer 2 of 32, of fewer layers behind the same share of "
            "them, at least one",
            "tokens out of sight stay in their places, as in the code's runs; its other way, which "
            "removes them, knows no cache",
            "the code's greedy search takes the best token of the contrast whether it is plausible "
            "or not (variant official_code); its sampling cuts implausible tokens off, as both "
            "variants do",
            "a token that may attend to tokens out of sight alone, as the first ones of a prompt "
            "that starts with the image, attends to them; in the code to all, later ones too",
        ),
        cost=Cost(token=2),
        needs=("image tokens in the prompt",),
    )
    rows = "last"
    prefix_depends_on = "question"

    class Params(TwoStreams.Params):
        """SID's parameters; None takes what fits the model."""

        variant: Literal["paper", "official_code"] = "paper"
        share: float = Field(_KEPT / _TOKENS, gt=0, le=1, description="of image tokens in sight")
        layer: int | None = Field(None, ge=1, description="first layer that sees those alone")

    params: Params

    @classmethod
    def requires(cls, params: Any, config: Any, model: str) -> None:
        """Refuse a model without image tokens in its prompt."""
        needs_shared_rows("sid", config, model)

    @classmethod
    def resolve(cls, params: Any, model: VisionLanguageModel) -> Params:
        """Fill in the layer by depth, behind one whose attention can be reached.

        Raises:
            UserError: If it is not behind such a layer, or does not exist.
        """
        filled: SID.Params = params
        reached, depth = model.self_attention, model.n_layers
        layer = filled.layer
        if layer is None:
            scaled = max(1, round(_LAYER * depth / _DEPTH))
            layer = next((at + 1 for at in sorted(reached) if at + 1 >= scaled), depth)
        if layer - 1 not in reached or layer >= depth:
            raise UserError(
                f"method 'sid': layer {layer} has to be one of 1 to {depth - 1} of {model.name!r}, "
                f"behind one that has attention: {', '.join(map(str, sorted(reached)))}"
            )
        return filled.model_copy(update={"layer": layer})

    def layers(self, n_layers: int) -> range:
        """Return the layer that is looked at and those behind it."""
        return range((self.params.layer or 1) - 1, n_layers)

    def begin(self, batch: Batch) -> dict[str, Tensor]:
        """Start without tokens out of sight; they are chosen anew in every pass."""
        return {}

    def view(self, batch: Batch, model: VisionLanguageModel) -> Inputs:
        """Read the same prompts."""
        return batch.inputs

    def attention_weights(self, at: At, weights: Tensor) -> Tensor:
        """Look which image tokens the other stream keeps, bool [B, L] of the others."""
        if at.layer + 1 == self.params.layer:
            image = at.image_columns & in_stream(at, self.other)[:, None]
            kept = unattended(weights, image, self.params.share)
            at.state["gone"] = at.of_prompt(image & ~kept)
        return weights

    def attention_bias(self, at: At) -> Tensor:
        """Take them out of sight, of all rows of the pass."""
        if at.layer + 1 == self.params.layer:
            return away(at.image_columns.new_zeros(at.image_columns.shape))
        return away(at.on_keys(at.state["gone"]))

    def next_token_logits(self, at: At, logits: Mapping[str, Tensor]) -> Tensor:
        """Contrast, among plausible tokens unless as the code's greedy search does."""
        if self.params.variant == "official_code" and at.memory.greedy:
            return self.join(at, logits["main"], logits[self.other])
        return super().next_token_logits(at, logits)
