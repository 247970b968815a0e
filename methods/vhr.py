"""VHR: Vision-aware Head Reinforcement.

Some heads change their output when the image is taken away, most do not. VHR amplifies the more
image-sensitive half of the heads in a few layers, chosen anew for every sample from the position
that predicts its first token.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import Field

from halluc.interventions import Method, MethodCard, MethodParams, method

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.calibration import Handful
    from halluc.interventions import Prompted, Site
    from halluc.interventions.engine import Engine
    from halluc.models import VisionLanguageModel


def divergence(with_image: Tensor, without_image: Tensor) -> Tensor:
    """VHD: how far each head's output moves when the image is removed (VHR, eq. 4).

    Args:
        with_image, without_image: Head outputs before o_proj at the predicting position [B, H, d].

    Returns:
        Euclidean distances [B, H].
    """
    distance: Tensor = (with_image.float() - without_image.float()).norm(dim=-1)
    return distance


def drop_outliers(vhd: Tensor, text: Tensor, *, unbiased: bool = True) -> Tensor:
    """Zero the VHD of heads that are extreme without the image too (VHR, eq. 6).

    Args:
        vhd: [B, H].
        text: The heads' activity without the image, TA [B, H].
        unbiased: Divide by H - 1 in the standard deviation over heads (torch.std's default).

    Returns:
        [B, H]: 0 where both vhd and text exceed their mean plus standard deviation over heads.
    """

    def extreme(x: Tensor) -> Tensor:
        deviation = x.std(-1, correction=int(unbiased), keepdim=True)
        return x > x.mean(-1, keepdim=True) + deviation

    return vhd.masked_fill(extreme(vhd) & extreme(text), 0.0)


def sensitive_heads(vhd: Tensor) -> Tensor:
    """Heads above their layer's median VHD, bool [B, H] (VHR, eq. 7).

    The median of an even number of heads is the mean of the middle two, so half of them pass.
    """
    ordered = vhd.sort(-1).values
    heads = vhd.shape[-1]
    median = (ordered[..., (heads - 1) // 2] + ordered[..., heads // 2]) / 2
    return vhd > median[..., None]


@dataclass
class Selection:
    """Heads chosen for a batch, and whether they are being chosen right now.

    Attributes:
        chosen: Layer to bool [B, H].
        choosing: True during the lockstep pass, whose batch is the prompts and below them the
            same prompts without their image.
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
            "layers other than LLaVA-1.5-7B's are measured for the model: see halluc/models",
        ),
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
        """Take the layers from the model's constants unless they are given."""
        if params.layers is not None:
            return params
        return params.model_copy(update={"layers": model.constants.vhr_layers})

    @classmethod
    def calibrate(cls, params: Params, handful: Handful) -> tuple[dict[str, Any], dict[str, Any]]:
        """Find the layers whose heads move most when the image is taken away."""
        found = handful.constants()
        return {"layers": found.vhr_layers}, {"shift_by_layer": found.shifts}

    def layers(self, n_layers: int) -> tuple[int, ...]:
        """The reinforced layers."""
        return self.params.layers or ()

    def begin(self, prompted: Prompted) -> Selection:
        """No heads are chosen yet."""
        return Selection()

    def prepare(self, engine: Engine, inputs: dict[str, Any]) -> int:
        """Choose heads layer by layer in one pass over the prompts with and without their image."""
        state: Selection = engine.prompted.state
        state.choosing = True
        engine.read(engine.model.stacked(inputs, engine.model.without_image(inputs)))
        state.choosing = False
        return 2

    def heads(self, site: Site, outputs: Tensor) -> Tensor:
        """Gain of each head, [B, H]; chosen here during the lockstep pass (VHR, alg. 1)."""
        state: Selection = site.state
        if state.choosing:
            seen, unseen = outputs[:, -1].chunk(2)
            chosen = self.choose(seen, unseen)
            state.chosen[site.layer] = chosen
            chosen = chosen.repeat(2, 1)
        else:
            chosen = state.chosen[site.layer]
            chosen = chosen.repeat_interleave(outputs.shape[0] // chosen.shape[0], 0)
        return 1 + (self.params.gain - 1) * chosen.to(outputs.dtype)

    def choose(self, seen: Tensor, unseen: Tensor) -> Tensor:
        """Heads to reinforce, from a layer's head outputs with and without the image [B, H, d]."""
        vhd = divergence(seen, unseen)
        if self.params.drop_outliers:
            text = unseen.float().norm(dim=-1)
            text = text.pow(2) if self.params.squared_text_activity else text
            vhd = drop_outliers(vhd, text, unbiased=self.params.unbiased)
        return sensitive_heads(vhd)
