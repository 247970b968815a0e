"""CMAI: Cross-Modality Attention Inhibition, a reading of the paper where it is silent.

The focus of a text token on an image token is its own attention to it plus that of the text tokens
it attends to. Pairs of low focus are masked in the layers that follow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from halluc.errors import UserError
from halluc.interventions import Method, MethodCard, MethodParams, method
from halluc.interventions.requirements import needs_shared_rows

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions import At, Batch
    from halluc.models import VisionLanguageModel

_MASKED = -1e9  # far below any logit, and finite, so that no row can become undefined


def focus(to_image: Tensor, to_text: Tensor, text_to_image: Tensor) -> Tensor:
    """Compute F = A_tv + A_tt A_tv: attention to the image, and that of the text attended to.

    Args:
        to_image: The rows' attention to image tokens, mean over heads [B, R, K].
        to_text: Their attention to other text tokens behind the image [B, R, T].
        text_to_image: The attention of those to image tokens [B, T, K].

    Returns:
        [B, R, K], 0 outside the image.
    """
    return to_image + to_text @ text_to_image


def unfocused(focused: Tensor, image_columns: Tensor, share: float) -> Tensor:
    """Mark the image columns of least focus in each row.

    Args:
        focused: From `focus` [B, R, K].
        image_columns: bool [B, K].
        share: Share of them to mark, rounded down.

    Returns:
        bool [B, R, K].
    """
    outside = ~image_columns[:, None]
    order = focused.masked_fill(outside, float("inf")).argsort(dim=-1, stable=True)
    rank = order.argsort(-1)
    count = (share * image_columns.sum(-1).double() + 1e-9).floor()
    return (rank < count[:, None, None]) & ~outside


@method("cmai")
class CMAI(Method):
    """Masks the quarter of the image each text row focuses on least, in layers behind L/4."""

    card = MethodCard(
        title="Enhancing Instruction-Following Capability of Visual-Language Models by Reducing "
        "Image Redundancy",
        authors="Yang et al.",
        year=2024,
        venue="arXiv",
        paper="arXiv:2411.15453",
        deviations=(
            "a reading of the paper where it is silent, and only its CMAI half; no code was found",
            "its target is instruction following, not hallucination",
            "which layer the focus comes from is our choice: layer L/4, for all that follow",
            "how many pairs are masked is our choice: the lowest quarter of a row",
            "A_tt leaves out a token's attention to itself: the focus asks other text tokens",
            "generated rows aggregate over the prompt's text and not over earlier generated "
            "tokens, so that beams may change places",
        ),
        needs=("image tokens in the prompt",),
    )
    prefix_depends_on = "nothing"
    noop = {"share": 0.0}

    class Params(MethodParams):
        """CMAI's parameters."""

        share: float = Field(0.25, ge=0, lt=1, description="share of the image masked in a row")
        layer: int | None = Field(None, ge=0, description="where focus is read; None: L/4")

    params: Params

    @classmethod
    def requires(cls, params: Params, config: Any, model: str) -> None:
        """Refuse a model without image tokens in its prompt."""
        needs_shared_rows("cmai", config, model)

    @classmethod
    def resolve(cls, params: Params, model: VisionLanguageModel) -> Params:
        """Fill in the layer: the first from L/4 on that has attention.

        Raises:
            UserError: If that layer has no attention, or no later layer has.
        """
        reached = list(model.self_attention)
        quarter = model.n_layers // 4
        layer = next(i for i in reached if i >= quarter) if params.layer is None else params.layer
        if layer not in reached[:-1]:
            raise UserError(
                f"method 'cmai': no layer follows layer {layer}, or it has no attention; "
                f"{model.name!r} has attention in layers {', '.join(map(str, reached))}"
            )
        return params.model_copy(update={"layer": layer})

    def layers(self, n_layers: int) -> range:
        """Return the layer in which focus is read, and all that follow."""
        assert self.params.layer is not None
        return range(self.params.layer, n_layers)

    def begin(self, batch: Batch) -> dict[str, Tensor]:
        """Start without the text's attention to the image [B, T, L], and masked pairs [B, R, L]."""
        return {}

    def attention_logits(self, at: At, logits: Tensor) -> Tensor:
        """Read the focus in one layer, mask by it in those that follow."""
        if at.layer == self.params.layer:
            at.state["masked"] = self._unfocused(at, logits.softmax(-1).mean(1))
            return logits
        masked = at.on_keys(at.state["masked"])
        return logits + _MASKED * masked[:, None].to(logits)

    def _unfocused(self, at: At, attention: Tensor) -> Tensor:
        """Mark pairs bool [B, R, L] by attention averaged over heads [B, R, K]."""
        prompt = at.of_prompt(attention)
        to_image = prompt * at.image_mask[:, None]
        if at.prefill:
            at.state["text"] = to_image * at.rows[:, :, None]
        text = at.state["text"]
        to_text = prompt[:, :, -text.shape[1] :].clone()
        if at.prefill:
            to_text.diagonal(dim1=1, dim2=2).zero_()  # other tokens than itself
        return unfocused(focus(to_image, to_text, text), at.image_mask, self.params.share)
