"""VCD: Visual Contrastive Decoding.

The same prompt is also asked about a noisy copy of its image; what that leads to is taken off.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from halluc.errors import UserError
from halluc.interventions import Cost, MethodCard, TwoStreams, method

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions import Batch
    from halluc.interventions.base import Inputs
    from halluc.models import VisionLanguageModel

_STEPS = 1000
_PADDED = {"pixel_attention_mask", "image_sizes"}
"""Inputs of families that pad images to the largest of a batch."""


def noise_scales(step: int) -> tuple[float, float]:
    """Give what is left of an image after diffusion steps 0 to `step`, and the noise's share.

    sqrt(abar) and sqrt(1 - abar), abar the product of 1 - beta_i up to and with `step`, beta rising
    from 1e-5 to 5e-3 along a sigmoid (VCD: vcd_utils/vcd_add_noise.py).
    """
    import torch

    ramp = torch.linspace(-6, 6, _STEPS, dtype=torch.float64).sigmoid()
    left = float((1 - (ramp * (0.5e-2 - 1e-5) + 1e-5)).cumprod(0)[step])
    return left**0.5, (1 - left) ** 0.5


def normal_noise(shape: Sequence[int], seed: int, frames: int = 1) -> Tensor:
    """Draw normal noise on the CPU.

    Args:
        shape: Of one image's pixels, tiles [..., 3, H, W] or flat patches [N, 3 * frames * P * P].
        seed: The same noise is drawn for the same one.
        frames: How often a still image stands in each flat patch; each copy gets the same noise.
    """
    import torch

    draw = torch.Generator().manual_seed(seed)
    if frames == 1:
        return torch.randn(*shape, generator=draw)
    once = torch.randn(shape[0], 3, 1, shape[1] // (3 * frames), generator=draw)
    return once.expand(-1, -1, frames, -1).reshape(*shape)


def diffused(pixels: Tensor, noise: Tensor, step: int) -> Tensor:
    """Diffuse pixels: sqrt(abar) v + sqrt(1 - abar) eps (VCD, eq. 1), all of one shape."""
    image, share = noise_scales(step)
    return (image * pixels.float() + share * noise.to(pixels.device)).to(pixels.dtype)


@method("vcd")
class VCD(TwoStreams):
    """Contrasts the image with a copy under Gaussian noise (VCD, eq. 3 and 4)."""

    card = MethodCard(
        title="Mitigating Object Hallucinations in Large Vision-Language Models through Visual "
        "Contrastive Decoding",
        authors="Leng et al.",
        year=2024,
        venue="CVPR",
        paper="arXiv:2311.16922",
        code="https://github.com/DAMO-NLP-SG/VCD@d6568ff",
        licence="Apache-2.0",
        deviations=(
            "noise is drawn once an image, by its pixels and the run's seed, so that questions "
            "about it share the noisy prefix; the code draws once a question, in the order they "
            "are asked (variant official_code: once a question, by its id)",
            "beta is 0.1 as in the code's arguments; its script for POPE on LLaVA-1.5 passes 0.2 "
            "(variant official_code)",
            "the code's script for InstructBLIP drops its argument and runs with alpha 0.5; no "
            "variant does",
            "models of Qwen2-VL's kind read a still image as two frames; both get the same noise, "
            "which is our choice, as nothing is published for them",
            "each tile of an image cut into tiles is noised by itself, the whole view too",
            "decoding is the run's own, greedy by default; the code replaces sampling only, and "
            "does nothing under greedy search",
        ),
        cost=Cost(token=2),
        needs=("pixels in the processor's output",),
    )
    other: ClassVar[str] = "noised"

    class Params(TwoStreams.Params):
        """VCD's parameters."""

        variant: Literal["paper", "official_code"] = "paper"
        beta: float | None = Field(None, ge=0, le=1, description="cut-off; None: the variant's")
        step: int = Field(500, ge=0, lt=_STEPS, description="diffusion step of the noise")

    params: Params

    @classmethod
    def resolve(cls, params: Params, model: VisionLanguageModel) -> Params:
        """Fill in the cut-off by variant.

        Raises:
            UserError: If the model's processor makes no pixels.
        """
        from PIL import Image

        if "pixel_values" not in model.encode([model.render("?")], [Image.new("RGB", (64, 64))]):
            raise UserError(
                f"method 'vcd' adds noise to pixel_values, and the processor of {model.name!r} "
                "makes none"
            )
        if params.beta is not None:
            return params
        return params.model_copy(update={"beta": 0.1 if params.variant == "paper" else 0.2})

    def view(self, batch: Batch, model: VisionLanguageModel) -> Inputs:
        """Ask the same about noisy images."""
        paper, frames = self.params.variant == "paper", 1
        if "image_grid_thw" in batch.inputs:
            frames = getattr(model.model.config.vision_config, "temporal_patch_size", 1)
        images = model.image_inputs(batch.inputs)
        if _PADDED & batch.inputs.keys():
            rows = {id(image): row for row, image in enumerate(batch.images)}
            each = {
                key: model.encode([batch.rendered[row]], [batch.images[row]])
                for key, row in rows.items()
            }
            images = [each[id(image)] for image in batch.images]
        seeds = batch.image_seeds if paper else batch.seeds
        noised: list[dict[str, Any]] = []
        for seed, image in zip(seeds, images, strict=True):
            pixels = image["pixel_values"]
            noise = normal_noise(pixels.shape, seed, frames)
            noised.append({"pixel_values": diffused(pixels, noise, self.params.step)})
        return {**batch.inputs, **model.stacked(*noised)}
