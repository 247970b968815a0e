"""VHR: Vision-aware Head Reinforcement.

Some heads change their output when the image is taken away, most do not. VHR amplifies the more
image-sensitive half of the heads in a few layers, chosen anew for every sample from the position
that predicts its first token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import Field

from halluc.errors import UserError
from halluc.interventions import Calibrated, Method, MethodCard, MethodParams, method

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.calibration import Calibrator
    from halluc.interventions import At, Batch
    from halluc.interventions.base import Forward, Inputs
    from halluc.models import VisionLanguageModel
    from halluc.types import Sample


_PUBLISHED = {  # section 4.4, Vicuna-7B in each
    "llava": (1, *range(18, 32)),
    "llava_next": (1, *range(18, 32)),
    "instructblip": tuple(range(14, 32)),
}
_SHARE = 15 / 32  # of its layers that VHR reinforces in LLaVA-1.5-7B


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


def published_layers(config: Any) -> tuple[int, ...] | None:
    """Look up the layers the paper reinforces in a checkpoint of this configuration, if it does."""
    text = config.get_text_config()
    is_7b = text.model_type == "llama" and (text.hidden_size, text.num_hidden_layers) == (4096, 32)
    vicuna = is_7b and 32000 <= text.vocab_size < 32128  # LLaMA-3's vocabulary is larger
    return _PUBLISHED.get(config.model_type) if vicuna else None


class MeasuredLayers(NamedTuple):
    """Layers whose heads depend on the image.

    Attributes:
        layers: Those to reinforce, ascending.
        shifts: How far each layer's head outputs move without the image, for their size; 0 where
            heads cannot be reached.
    """

    layers: tuple[int, ...]
    shifts: tuple[float, ...]


def measured_layers(model: VisionLanguageModel, samples: Sequence[Sample] = ()) -> MeasuredLayers:
    """Measure which layers' head outputs move most when the image is taken away.

    Args:
        samples: On what; descriptions of drawn scenes if there are none.
    """
    from halluc.calibration.probing import probed

    found = probed(model, samples)

    def shift(layer: int) -> float:
        if layer not in found.seen:
            return 0.0
        seen, unseen = found.seen[layer], found.unseen[layer]
        moved = (seen - unseen).norm(dim=-1) / (seen.norm(dim=-1) + 1e-6)
        return float(moved.mean())

    shifts = tuple(shift(layer) for layer in range(model.n_layers))
    count = round(len(found.seen) * _SHARE)
    most = sorted(range(len(shifts)), key=lambda layer: -shifts[layer])[:count]
    return MeasuredLayers(tuple(sorted(most)), shifts)


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
            "layers are published for LLaVA-1.5-7B and LLaVA-NeXT-7B (1 and 18 to 31) and for "
            "InstructBLIP-7B (14 to 31); for any other model they are measured on drawn scenes: "
            "the 15/32 of its layers whose head outputs move most without the image",
            "the prompt is read twice, once to choose heads and once to answer; the paper's single "
            "pass chooses while it answers",
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
        if params.layers is None:
            known = published_layers(model.model.config)
            return params.model_copy(update={"layers": known or measured_layers(model).layers})
        for layer in params.layers:
            if not 0 <= layer < model.n_layers:
                raise UserError(
                    f"method 'vhr': layers names layer {layer}; {model.name!r} has layers 0 to "
                    f"{model.n_layers - 1}"
                )
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
        """The reinforced layers."""
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
        """Return the gain of each head, [B, H]; chosen in the lockstep pass (VHR, alg. 1)."""
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
        """Heads to reinforce, from a layer's head outputs with and without the image [B, H, d]."""
        vhd = divergence(seen, unseen)
        if self.params.drop_outliers:
            text = unseen.float().norm(dim=-1)
            text = text.pow(2) if self.params.squared_text_activity else text
            vhd = drop_outliers(vhd, text, unbiased=self.params.unbiased)
        return sensitive_heads(vhd)
