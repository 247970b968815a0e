"""VHR: Vision-aware Head Reinforcement.

Some heads change their output when the image is taken away, most do not. VHR amplifies the more
image-sensitive half of the heads in a few layers. They are chosen for every sample again, at the
position that predicts its first token.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import Field

from halluc.errors import UserError
from halluc.interventions import Calibrated, Cost, Method, MethodCard, MethodParams, method
from halluc.methods._image_heads import (
    divergence,
    drop_outliers,
    measured_layers,
    published_layers,
    sensitive_heads,
)

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.calibration import Calibrator
    from halluc.interventions import At, Batch
    from halluc.interventions.base import Forward, Inputs
    from halluc.models import VisionLanguageModel


@dataclass
class Selection:
    """Choice of heads for a batch.

    Attributes:
        chosen: Layer to bool [B, H].
        choosing: True during the pass that chooses; its batch holds the prompts and, below them,
            the same prompts without their image.
    """

    chosen: dict[int, Tensor] = field(default_factory=dict)
    choosing: bool = False


@method("vhr")
class VHR(Method):
    """Doubles the image-sensitive half of the heads in layer 1 and the late layers."""

    card = MethodCard(
        title="Cracking the Code of Hallucination in LVLMs with Vision-aware Head Divergence",
        authors="He et al.",
        year=2025,
        venue="ACL",
        paper="arXiv:2412.13949",
        code="https://github.com/jinghan1he/VHR (not readable when this was written)",
        deviations=(
            "the image-less copy is reinforced too while layers are chosen one after the other; "
            "the paper does not say",
            "the standard deviation over heads divides by H - 1; the paper does not say",
            "layers are published for LLaVA-1.5-7B and LLaVA-NeXT-7B (1 and 18 to 31) and for "
            "InstructBLIP-7B (14 to 31); for any other model they are measured on drawn scenes: "
            "the 15/32 of its layers whose head outputs move most without the image",
            "the prompt is read twice, once to choose heads and once to answer; the paper's single "
            "pass chooses while it answers",
        ),
        cost=Cost(prompt=2),
        needs=("image tokens in the prompt",),
    )

    cross_attention = True
    noop = {"gain": 1.0}

    class Params(MethodParams):
        """VHR's parameters."""

        gain: float = Field(2.0, ge=0, description="factor on a chosen head's output (alpha)")
        layers: tuple[int, ...] | None = Field(None, min_length=1, description="0-based layers")
        drop_outliers: bool = Field(True, description="apply eq. 6")
        squared_text_activity: bool = Field(
            True, description="TA is the squared norm, not the norm"
        )
        unbiased: bool = Field(True, description="H - 1 in the standard deviation")

    params: Params

    @classmethod
    def resolve(cls, params: Params, model: VisionLanguageModel) -> Params:
        """Fill in layers, published or measured; check those that are given."""
        if params.layers is None:
            known = published_layers(model.model.config)
            return params.model_copy(update={"layers": known or measured_layers(model).layers})
        for layer in params.layers:
            if not 0 <= layer < model.n_layers:
                has = f"{model.name!r} has layers 0 to {model.n_layers - 1}"
                raise UserError(f"method 'vhr': layers names layer {layer}; {has}")
        return params

    @classmethod
    def calibrate(cls, params: Params, calibrator: Calibrator) -> Calibrated:
        """Find the layers whose heads move most when the image is taken away.

        Raises:
            UserError: If they are published for the checkpoint, and measuring was not asked for.
        """
        if published_layers(calibrator.model.model.config) and not calibrator.recalibrate:
            raise UserError(
                f"{calibrator.model.name}: VHR's layers are published; --recalibrate measures "
                "them again"
            )
        found = measured_layers(calibrator.model, calibrator.samples)
        return Calibrated({"layers": found.layers}, {"shift_by_layer": found.shifts})

    def layers(self, n_layers: int) -> tuple[int, ...]:
        """Return the reinforced layers."""
        return self.params.layers or ()

    def begin(self, batch: Batch) -> Selection:
        """Start with no heads chosen."""
        return Selection()

    def prepare(self, at: At, inputs: Inputs, forward: Forward) -> None:
        """Choose heads layer by layer in one pass over the prompts with and without their image."""
        state: Selection = at.state
        state.choosing = True
        forward(at.model.stacked(inputs, at.model.without_image(inputs)))
        state.choosing = False

    def head_gain(self, at: At, outputs: Tensor) -> Tensor:
        """Return the gain of each head, [B, H]; `prepare`'s pass chooses them (VHR, alg. 1)."""
        state: Selection = at.state
        if state.choosing:
            seen, unseen = outputs[:, -1].chunk(2)
            chosen = self.choose(seen, unseen)
            state.chosen[at.layer] = chosen
            chosen = chosen.repeat(2, 1)
        else:
            chosen = state.chosen[at.layer]
            chosen = chosen.repeat_interleave(outputs.shape[0] // chosen.shape[0], 0)
        return 1 + (self.params.gain - 1) * chosen.to(outputs.dtype)

    def choose(self, seen: Tensor, unseen: Tensor) -> Tensor:
        """Choose heads by a layer's head outputs with and without the image [B, H, d]."""
        vhd = divergence(seen, unseen)
        if self.params.drop_outliers:
            text = unseen.float().norm(dim=-1)
            text = text.pow(2) if self.params.squared_text_activity else text
            vhd = drop_outliers(vhd, text, unbiased=self.params.unbiased)
        return sensitive_heads(vhd)
