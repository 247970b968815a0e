"""ACT: Attention Calibration Technique.

Attention sinks other than the first token hold attention that says nothing. In calibrated heads ACT
scales them down and spreads what they lose over all other tokens, in proportion to their weights.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from halluc.interventions import Calibrated, Method, MethodCard, MethodParams, method
from halluc.interventions.requirements import Heads, head_mask, needs_heads, needs_layers
from halluc.methods._column_sinks import column_means, later_sinks, rescale_sinks

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.calibration import Calibrator
    from halluc.interventions import At, Batch
    from halluc.models import VisionLanguageModel


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
        """Return the layers that `heads` names, else the range."""
        if self.params.heads is not None:
            return sorted(self.params.heads)
        assert self.params.last_layer is not None
        return range(self.params.first_layer, self.params.last_layer + 1)

    def begin(self, batch: Batch) -> dict[int, Tensor]:
        """Start without sinks; by layer, those of the prompt will be bool [B, H, L]."""
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
