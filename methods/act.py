"""ACT: Attention Calibration Technique.

Attention sinks beside the first token hold attention that says nothing. In calibrated heads ACT
scales them down and spreads what they lose over all other tokens, in proportion to what they have.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from halluc.interventions import Calibrated, Method, MethodCard, MethodParams, method
from halluc.interventions.requirements import Heads, head_mask, needs_heads, needs_layers

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.calibration import Calibrator
    from halluc.interventions import At, Batch
    from halluc.models import VisionLanguageModel


def column_means(attention: Tensor, real: Tensor, visible: Tensor) -> Tensor:
    """Mean attention a token receives from the tokens that see it.

    Args:
        attention: Weights of a whole prompt after the softmax [B, H, L, L].
        real: Tokens that are not padding, bool [B, L]; others neither give nor receive.
        visible: Tokens each token may attend to, bool [B or 1, L, L].

    Returns:
        [B, H, L]; sum_i A_ij / (n - j) under a causal mask, with n real tokens and j counted among
        them. Models whose image tokens see each other count those, too.
    """
    seen_by = (visible & real[:, :, None]).sum(1).clamp(min=1)
    given = (real[:, None, None].to(attention) @ attention)[:, :, 0]
    means: Tensor = given * real[:, None] / seen_by[:, None]
    return means


def later_sinks(means: Tensor, threshold: Tensor | float) -> Tensor:
    """Tokens whose column mean exceeds the threshold, less the first of each head.

    Args:
        means: From `column_means` [B, H, L].
        threshold: Broadcastable to it.

    Returns:
        bool [B, H, L].
    """
    above = means > threshold
    found: Tensor = above & (above.cumsum(-1) > 1)
    return found


def rescale_sinks(attention: Tensor, sinks: Tensor, beta: float) -> Tensor:
    """Scale sinks by beta and spread the difference over the row's other tokens.

    Args:
        attention: Weights after the softmax [B, H, R, K].
        sinks: bool [B, H, K].
        beta: Share of its attention a sink keeps.

    Returns:
        [B, H, R, K]; each row keeps its sum. Rows that see nothing but sinks come back unchanged.
    """
    kinds = sinks.to(attention)[..., None]  # [B, H, K, 1]: matrix products spare whole copies
    held, free = attention @ kinds, attention @ (1 - kinds)
    gain = (1 + (1 - beta) * held / free.clamp(min=1e-12)).where(free > 0, 1)
    kept = kinds.new_tensor(beta).where(free > 0, 1)
    return kept.where(sinks[:, :, None], gain).mul_(attention)


@method("act")
class ACT(Method):
    """Scales down every sink but the first, layers 2 to L-2."""

    card = MethodCard(
        title="Unveiling and Harnessing Hidden Attention Sinks: Enhancing Large Language Models "
        "without Training through Attention Calibration",
        authors="Yu et al.",
        year=2024,
        venue="ICML",
        paper="arXiv:2406.15765",
        code="https://github.com/GATECH-EIC/ACT@a267af7",
        deviations=(
            "the paper knows text models only; on vision-language models it is an extension",
            "all heads unless `heads` names some: the paper's lists are of text models, found one "
            "by one on labelled samples",
            "variant paper: the threshold is alpha/n; its alpha of 5 is as others read the paper, "
            "which could not be verified. variant official_code: the code's fixed 0.1",
            "under a key-value cache the published code also feeds sinks and overwrites the first "
            "weight; here sinks are frozen with the prompt and generated rows get the row formula",
            "the code's A_00 = 1 is dropped: the first row sees nothing else anyway",
        ),
    )
    rows = "all"
    noop = {"beta": 1.0}

    class Params(MethodParams):
        """ACT's parameters."""

        variant: Literal["paper", "official_code"] = "paper"
        beta: float = Field(0.4, ge=0, le=1, description="share of its attention a sink keeps")
        threshold: float = Field(0.1, gt=0, description="least column mean (official_code)")
        alpha: float = Field(5.0, gt=0, description="least column mean times n (paper)")
        first_layer: int = Field(2, ge=0, description="first layer calibrated, 0-based")
        last_layer: int | None = Field(None, ge=0, description="the last; None: the last but one")
        heads: Heads | None = Field(None, description="heads by layer; None: all of the range")

    params: Params

    @classmethod
    def resolve(cls, params: Params, model: VisionLanguageModel) -> Params:
        """Fill in the last layer; check heads."""
        last = model.n_layers - 2 if params.last_layer is None else params.last_layer
        if params.heads is not None:
            needs_heads("act", params.heads, model)
        else:
            needs_layers("act", params.first_layer, last, model)
        return params.model_copy(update={"last_layer": last})

    @classmethod
    def calibrate(cls, params: Params, calibrator: Calibrator) -> Calibrated:
        """Find the heads that help, tried one by one (the paper's scripts/calibration.sh).

        By accuracy where right answers are known, else by how sure the model becomes.
        """
        from halluc.calibration.head_search import chosen, gains

        full = cls.resolve(params, calibrator.model)

        def build(heads: Heads) -> ACT:
            return cls(full.model_copy(update={"heads": heads}))

        layers = cls(full.model_copy(update={"heads": None})).layers(calibrator.model.n_layers)
        heads = chosen(gains(calibrator, build, layers))
        report = {
            "without": vars(calibrator.measure(Method(MethodParams()))),
            "with": vars(calibrator.measure(build(heads))),
        }
        return Calibrated({"heads": heads}, report)

    def layers(self, n_layers: int) -> Collection[int]:
        """Layers that `heads` names, else the range."""
        if self.params.heads is not None:
            return sorted(self.params.heads)
        assert self.params.last_layer is not None
        return range(self.params.first_layer, self.params.last_layer + 1)

    def begin(self, batch: Batch) -> dict[int, Tensor]:
        """Sinks of the prompt by layer, bool [B, H, L]."""
        return {}

    def attention_weights(self, at: At, weights: Tensor) -> Tensor:
        """Find the prompt's sinks while it is read; calibrate every row."""
        if at.prefill:
            at.state[at.layer] = self._sinks(at, weights)
        sinks = at.on_keys(at.state[at.layer])
        return rescale_sinks(weights, sinks, self.params.beta)

    def _sinks(self, at: At, weights: Tensor) -> Tensor:
        threshold: Tensor | float = self.params.threshold
        if self.params.variant == "paper":
            threshold = self.params.alpha / at.real.sum(1)[:, None, None]
        assert at.visible is not None
        means = column_means(weights, at.real, at.visible)
        sinks = later_sinks(means, threshold)
        chosen = head_mask(weights, self.params.heads, at.layer, at.n_heads)
        return sinks & chosen[:, :, 0]
