"""AvisC: Attentional Vision Calibration.

A few image tokens, blind tokens, draw most attention whatever is asked. Another stream sees the
image through these alone, all other image tokens set to zero; what it leads to is taken off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from halluc.interventions import Cost, MethodCard, method
from halluc.interventions.requirements import needs_shared_rows
from halluc.interventions.two_streams import TwoStreams
from halluc.methods._dropped_tokens import in_stream

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions import At, Batch
    from halluc.interventions.base import Forward, Inputs
    from halluc.models import VisionLanguageModel


def leading_layers(attention: Tensor, gamma: float) -> Tensor:
    """Mark the layers with the largest shares of attention to the image, up to a sum of gamma.

    As many of the largest as stay below gamma together, and one more (AvisC:
    avisc_sample.py:138-171).

    Args:
        attention: To each image token, by layer [B, layers, L].
        gamma: 0 to 1.

    Returns:
        bool [B, layers].
    """
    shares = attention.sum(-1)
    shares = shares / shares.sum(-1, keepdim=True).clamp(min=1e-20)
    order = shares.argsort(dim=-1, descending=True, stable=True)
    below = shares.gather(-1, order).cumsum(-1) < gamma
    count = below.sum(-1, keepdim=True) + 1
    return order.argsort(-1) < count


def blind_tokens(attention: Tensor, image: Tensor, gamma: float, lamb: float) -> Tensor:
    """Mark the image tokens whose attention is at least mean + lambda std.

    Of their attention on average over the leading layers, std with N - 1 (AvisC:
    avisc_sample.py:175-179).

    Args:
        attention: Last row's, averaged over heads, by layer [B, layers, L].
        image: bool [B, L].
        gamma: For `leading_layers`.
        lamb: lambda.

    Returns:
        bool [B, L].
    """
    attention = attention * image[:, None]
    leading = leading_layers(attention, gamma)[:, :, None]
    mean = (attention * leading).sum(1) / leading.sum(1)
    count = image.sum(-1, keepdim=True).clamp(min=1)
    middle = mean.sum(-1, keepdim=True) / count
    spread = ((mean - middle) * image).square().sum(-1, keepdim=True) / (count - 1).clamp(min=1)
    return image & (mean >= middle + lamb * spread.sqrt())


@method("avisc")
class AvisC(TwoStreams):
    """Contrasts with a stream that sees the blind image tokens alone."""

    card = MethodCard(
        title="Don't Miss the Forest for the Trees: Attentional Vision Calibration for Large "
        "Vision Language Models",
        authors="Woo et al.",
        year=2025,
        venue="Findings of ACL",
        paper="arXiv:2405.17820",
        code="https://github.com/sangminwoo/AvisC@772eba4",
        licence="MIT",
        deviations=(
            "from the published code; of the paper only the abstract was read",
            "alpha is 1 as in the code's arguments and its script for MME; its scripts ran 2.5 "
            "(AMBER, LLaVA-Bench) and a list of 3.0 (POPE)",
            "attention is read in a pass of its own; the code reads it off the prompt's own pass, "
            "and decodes the other stream behind it",
            "image tokens are the model's own, the code takes columns 35 to 610",
            "lambda is 1 as in the code's scripts; its arguments' defaults are .99, or .95",
            "layers and blind tokens are chosen for each row; the code answers one at a time",
            "where a model adds image features in deeper layers, too (Qwen3-VL), these stay",
        ),
        cost=Cost(token=2, prompt=1),
        needs=("image tokens in the prompt",),
    )
    rows = "last"
    hidden_phases = ("prefill",)
    attention_phases = ("prefill",)
    prefix_depends_on = "question"

    class Params(TwoStreams.Params):
        """AvisC's parameters."""

        gamma: float = Field(0.5, ge=0, le=1, description="share of attention of the layers read")
        lamb: float = Field(1.0, description="standard deviations above the mean: a blind token")

    params: Params

    @classmethod
    def requires(cls, params: Any, config: Any, model: str) -> None:
        """Refuse a model without image tokens in its prompt."""
        needs_shared_rows("avisc", config, model)

    def begin(self, batch: Batch) -> dict[str, Any]:
        """Start without blind tokens."""
        return {"read": [], "blind": None}

    def view(self, batch: Batch, model: VisionLanguageModel) -> Inputs:
        """Read the same prompts."""
        return batch.inputs

    def prepare(self, at: At, inputs: Inputs, forward: Forward) -> None:
        """Find the blind tokens of each prompt, bool [B, L]."""
        import torch

        thinned = "mm_encoder_outputs" in inputs  # encoded for all streams together
        forward(inputs if thinned else at.batch.inputs)
        attention = torch.stack(at.state.pop("read"), 1)[: at.batch.size]
        image = at.tokens.image_mask[: at.batch.size]
        at.state["blind"] = blind_tokens(attention, image, self.params.gamma, self.params.lamb)

    def attention_weights(self, at: At, weights: Tensor) -> Tensor:
        """Read what the last row attends to, in the pass of the method's own."""
        if "read" in at.state:
            at.state["read"].append(at.of_prompt(weights[:, :, -1].mean(1)))
        return weights

    def hidden(self, at: At, hidden: Tensor) -> Tensor | None:
        """Set all other image tokens of the other stream to zero as they enter the first layer."""
        if at.layer or "read" in at.state:
            return None
        blind = at.state["blind"].repeat(len(at.streams), 1)
        gone = at.tokens.image_mask & ~blind & in_stream(at, self.other)[:: at.repeats, None]
        return hidden.masked_fill(gone.repeat_interleave(at.repeats, 0)[:, :, None], 0)
