"""ZeroTuning: scales attention to the first token by one factor.

The first token is the attention sink. Taking attention from it sharpens a head's view of all other
tokens, giving it more flattens it. Scaling and renormalising a weight is a bias of log(gamma) on
its logit, so the kernel does all of it.
"""

from __future__ import annotations

from collections.abc import Collection
from math import log
from typing import TYPE_CHECKING

from pydantic import Field

from halluc.interventions import Calibrated, Method, MethodCard, MethodParams, method
from halluc.interventions.requirements import (
    Heads,
    head_mask,
    needs_heads,
    needs_layers,
    needs_text_first,
)

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.calibration import Calibrator
    from halluc.interventions import At
    from halluc.models import VisionLanguageModel

_PROFILE = 1.5  # gamma that heads are profiled with; our choice, the paper says above 1
_GRID = (1.0, 0.25, 0.4, 0.6, 0.8, 1.25, 1.5, 2.0, 4.0)
_HELPFUL = 22 / 32  # depth of the paper's shallow and middle layers


def first_token_bias(first: Tensor, gamma: float) -> Tensor:
    """Make a bias of log(gamma) at the first token, 0 elsewhere.

    Args:
        first: The first token among the keys, bool [B, K].
        gamma: Factor on the first token's weight before renormalising.

    Returns:
        Additive bias on attention logits [B, 1, 1, K].
    """
    return log(gamma) * first[:, None, None].float()


@method("zerotuning")
class ZeroTuning(Method):
    """Gives the first token 0.6 of its weight in the shallow and middle layers."""

    card = MethodCard(
        title="ZeroTuning: Unlocking the Initial Token's Power to Enhance Large Language Models "
        "Without Training",
        authors="Han et al.",
        year=2026,
        venue="ICLR",
        paper="arXiv:2505.11739",
        code="https://github.com/FeijiangHan/ZeroTuning@51df35b",
        deviations=(
            "the paper knows text models only and tunes gamma for each model and task; 0.6 is our "
            "choice, below 1 as for its question answering, and no published value",
            "the paper scales the 40 to 70% of heads that a profile finds of one kind; without "
            "`heads` all heads of the first 22/32 of the layers are, those the paper finds most "
            "helpful",
            "the code (core algorithms/modelling_llama.py:270-306) has the same formula: it "
            "multiplies column 0 by its rate and renormalises the selected heads; without a "
            "selection these are all heads of all layers, and its rate is 1.0 by default",
            "the code cannot run as published: it defines ZeroTuning_Attention and calls "
            "ZeroTunning; it was read, not executed",
        ),
        needs=("text before the image",),
    )
    prefix_depends_on = "method"
    noop = {"gamma": 1.0}

    class Params(MethodParams):
        """ZeroTuning's parameters."""

        gamma: float = Field(0.6, gt=0, description="factor on the first token's weight")
        first_layer: int = Field(0, ge=0, description="first layer tuned, 0-based")
        last_layer: int | None = Field(None, ge=0, description="the last; None: by depth")
        heads: Heads | None = Field(None, description="heads by layer; None: all of the range")

    params: Params

    @classmethod
    def resolve(cls, params: Params, model: VisionLanguageModel) -> Params:
        """Fill in the last layer; check heads and the first token."""
        needs_text_first("zerotuning", model)
        last = params.last_layer
        last = max(0, round(model.n_layers * _HELPFUL) - 1) if last is None else last
        if params.heads is not None:
            needs_heads("zerotuning", params.heads, model)
        else:
            needs_layers("zerotuning", params.first_layer, last, model)
        return params.model_copy(update={"last_layer": last})

    @classmethod
    def calibrate(cls, params: Params, calibrator: Calibrator) -> Calibrated:
        """Find the heads of the dominant kind, and gamma for them.

        Each head is tried with gamma above 1: it is up-effective if that helps, down-effective if
        it hurts. The kind with more heads is tuned, at most 70% of all heads; gamma is the best of
        a grid, by accuracy where right answers are known, else by low entropy.
        """
        from halluc.calibration.head_search import chosen, gains

        full = cls.resolve(params, calibrator.model)

        def build(gamma: float, heads: Heads) -> ZeroTuning:
            return cls(full.model_copy(update={"gamma": gamma, "heads": heads}))

        layers = cls(full.model_copy(update={"heads": None})).layers(calibrator.model.n_layers)
        up = gains(calibrator, lambda heads: build(_PROFILE, heads), layers)
        down = {key: -gain for key, gain in up.items()}
        helped = sum(gain > 0 for gain in up.values())
        kind = "up" if helped >= sum(gain < 0 for gain in up.values()) else "down"
        most = int(0.7 * len(layers) * calibrator.model.n_heads)
        heads = chosen(up if kind == "up" else down, most)
        merits = {gamma: calibrator.measure(build(gamma, heads)).merit for gamma in _GRID}
        gamma = max(merits, key=lambda value: merits[value])
        report = {"kind": kind, "merit_by_gamma": merits}
        return Calibrated({"gamma": gamma, "heads": heads}, report)

    def layers(self, n_layers: int) -> Collection[int]:
        """Return the layers that `heads` names, else the range."""
        if self.params.heads is not None:
            return sorted(self.params.heads)
        assert self.params.last_layer is not None
        return range(self.params.first_layer, self.params.last_layer + 1)

    def attention_bias(self, at: At) -> Tensor:
        """Return log(gamma) at the first token for the chosen heads, [B, 1 or H, 1, K]."""
        bias = first_token_bias(at.first_token, self.params.gamma)
        if self.params.heads is None:
            return bias
        return bias * head_mask(bias, self.params.heads, at.layer, at.n_heads)
