"""Boosts of attention to image tokens, and guidance away from what is said without them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from halluc.interventions import Method
from halluc.interventions.contrast import guided, implausible

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions import At, Batch
    from halluc.interventions.base import Inputs
    from halluc.models import VisionLanguageModel

_PLAUSIBLE = 0.1  # both published codes fix the cut-off of guidance


def summary_tokens(attention: Tensor) -> Tensor:
    """Mark patches whose CLS attention lies above Q3 + 1.5 IQR.

    Args:
        attention: Summed over heads [B, N].

    Returns:
        bool [B, N].
    """
    ordered = attention.float()
    low, high = ordered.quantile(0.25, dim=-1), ordered.quantile(0.75, dim=-1)
    return ordered > (high + 1.5 * (high - low))[:, None]


def local_tokens(attention: Tensor, summary: Tensor, ratio: float) -> Tensor:
    """Mark the top share of patches by CLS attention, except the summary tokens.

    Args:
        attention: Summed over heads [B, N].
        summary: bool [B, N].
        ratio: Share of N, rounded down.

    Returns:
        bool [B, N].
    """
    count = int(ratio * attention.shape[-1])
    top = attention.topk(count, dim=-1).indices
    return summary.new_zeros(summary.shape).scatter(-1, top, True) & ~summary


def raised(scores: Tensor, share: Tensor) -> Tensor:
    """Raise attention logits by a share of their own size: S + c |S| (PAI: attention.py:91).

    Args:
        scores: Attention logits [B, H, R, K].
        share: c, broadcastable to them; 0 leaves a logit as it is.
    """
    return scores + share * scores.abs()


def emphasise(
    scores: Tensor, local: Tensor, summary: Tensor, rows: Tensor, *, alpha: float, beta: float
) -> Tensor:
    """Raise logits S: S + alpha |S| on local columns, S + beta |S| on summary columns.

    Args:
        scores: Attention logits [B, H, R, K].
        local, summary: bool [B, K], disjoint.
        rows: bool [B, R].
        alpha, beta: Margins, at least 0.

    Returns:
        [B, H, R, K].
    """
    factor = alpha * local.to(scores) + beta * summary.to(scores)
    return raised(scores, factor[:, None, None, :] * rows[:, None, :, None].to(scores))


def seen(at: At, keys: Tensor) -> Tensor:
    """Mark where edited rows meet keys that they may attend to, bool [B, 1, R, K].

    Args:
        at: Of `attention_logits` or `attention_weights`.
        keys: bool [B, K]; hidden keys hold the lowest number there is, which no edit may raise.
    """
    assert at.visible is not None
    return (keys[:, None] & at.rows[:, :, None] & at.visible)[:, None]


class GuidedBoost(Method):
    """Base of methods that boost attention in the last row, and guide where gamma is above 1."""

    rows = "last"
    prefix_depends_on = "nothing"
    params: Any

    @classmethod
    def filled(cls, params: Any) -> Any:
        """Fill in what the variant says; gamma and first_layer are among the parameters."""
        raise NotImplementedError

    @classmethod
    def decides(cls, params: Any) -> bool:
        """Return whether there is guidance, which makes the next token's logits."""
        return bool(cls.filled(params).gamma != 1.0)

    @classmethod
    def resolve(cls, params: Any, model: VisionLanguageModel) -> Any:
        """Fill in guidance and the prompt's boost by variant."""
        return cls.filled(params)

    def layers(self, n_layers: int) -> range:
        """Return layers from `first_layer` to the last."""
        return range(self.params.first_layer, n_layers)

    def streams(self, batch: Batch, model: VisionLanguageModel) -> dict[str, Inputs]:
        """Decode the prompts without their image too, where there is guidance."""
        return {"no image": model.without_image(batch.inputs)} if self._gamma > 1 else {}

    def next_token_logits(self, at: At, logits: Mapping[str, Tensor]) -> Tensor:
        """Guide away from what the prompts lead to without their image."""
        if self._gamma == 1:
            return logits["main"]
        at.forbid(implausible(logits["main"], _PLAUSIBLE))
        return guided(logits["main"], logits["no image"], self._gamma)

    @property
    def _gamma(self) -> float:
        return self.params.gamma or 1.0
