"""PAINT: boosts the attention logits of two kinds of image tokens by their own magnitude.

Local tokens are the ones the vision tower's CLS token attends to in its first layer, summary tokens
the outliers of what it attends to in the layer whose features the language model reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from halluc.interventions import Method, MethodCard, MethodParams, method

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions import Prompted, Site

_FIRST, _FEATURES = 0, -2  # layers of the vision tower, as in the published code


def summary_tokens(attention: Tensor) -> Tensor:
    """Patches whose CLS attention lies above Q3 + 1.5 IQR.

    Args:
        attention: Summed over heads [B, N].

    Returns:
        bool [B, N].
    """
    ordered = attention.float()
    low, high = ordered.quantile(0.25, dim=-1), ordered.quantile(0.75, dim=-1)
    return ordered > (high + 1.5 * (high - low))[:, None]


def local_tokens(attention: Tensor, summary: Tensor, ratio: float) -> Tensor:
    """The top share of patches by CLS attention, less the summary tokens.

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


def emphasise(
    scores: Tensor, local: Tensor, summary: Tensor, rows: Tensor, *, alpha: float, beta: float
) -> Tensor:
    """S + alpha |S| on local columns, S + beta |S| on summary columns.

    Args:
        scores: Attention logits [B, H, R, K].
        local, summary: bool [B, K], disjoint.
        rows: bool [B, R].
        alpha, beta: Margins, at least 0.
    """
    factor = alpha * local.to(scores) + beta * summary.to(scores)
    factor = factor[:, None, None, :] * rows[:, None, :, None].to(scores)
    return scores + factor * scores.abs()


@method("paint")
class PAINT(Method):
    """Emphasises local and summary image tokens for the last row, layers 2 to L-1."""

    card = MethodCard(
        title="Fixing Imbalanced Attention to Mitigate In-Context Hallucination of LVLMs",
        authors="Arif et al.",
        year=2025,
        venue="arXiv",
        paper="arXiv:2501.12206",
        code="https://github.com/hasanar1f/PAINT",
        deviations=(
            "from the published code; the first abstract's head-specific modulation is in no code",
            "without PAI's classifier-free guidance (gamma 1.1), which every published run had on",
        ),
    )
    rows = "last"
    vision_layers = (_FIRST, _FEATURES)
    noop = {"alpha": 0.0, "beta": 0.0}

    class Params(MethodParams):
        """PAINT's parameters."""

        alpha: float = Field(0.7, ge=0, description="margin of local tokens")
        beta: float = Field(0.3, ge=0, description="margin of summary tokens")
        local_ratio: float = Field(0.25, ge=0, le=1, description="share of local tokens")
        first_layer: int = Field(2, ge=0, description="first layer boosted, 0-based")

    params: Params

    def layers(self, n_layers: int) -> range:
        """From `first_layer` to the last."""
        return range(self.params.first_layer, n_layers)

    def begin(self, prompted: Prompted) -> dict[str, Tensor]:
        """Local and summary columns of the prompt, bool [B, L], once the image is encoded."""
        return {}

    def scores(self, site: Site, scores: Tensor) -> Tensor:
        """Emphasise in the last row of each pass."""
        if not site.state:
            self._select(site)
        keys = scores.shape[-1]
        repeats = scores.shape[0] // site.prompted.size
        columns = {
            name: mask.new_zeros(mask.shape[0], keys)
            .index_copy(1, mask.new_ones(mask.shape[1]).nonzero()[:, 0], mask)
            .repeat_interleave(repeats, 0)
            for name, mask in site.state.items()
        }
        return emphasise(
            scores,
            columns["local"],
            columns["summary"],
            site.rows,
            alpha=self.params.alpha,
            beta=self.params.beta,
        )

    def _select(self, site: Site) -> None:
        seen = site.prompted.vision_attention
        image = site.prompted.image_mask
        summary = summary_tokens(seen[_FEATURES].sum(1))
        local = local_tokens(seen[_FIRST].sum(1), summary, self.params.local_ratio)
        for name, patches in (("local", local), ("summary", summary)):
            site.state[name] = image.masked_scatter(image, patches)
