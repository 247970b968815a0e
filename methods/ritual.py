"""RITUAL: Random Image Transformations as a Universal Anti-hallucination Lever.

The same prompt is also asked about the image as a random transform leaves it; what both lead to is
added up.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

from pydantic import Field

from halluc.interventions import Cost, MethodCard, TwoStreams, method
from halluc.methods._transforms import Transform, transformed

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from halluc.interventions import At, Batch
    from halluc.interventions.base import Inputs
    from halluc.models import VisionLanguageModel


def drawn(image: Image, seed: int, fixed: Transform | None = None) -> Image:
    """Transform an RGB image, in a way that is drawn unless it is fixed.

    Args:
        seed: The same transform is drawn for the same one.
    """
    draw = Random(seed)
    name: Transform = draw.choice(get_args(Transform))
    return transformed(image, fixed or name, draw)


@method("ritual")
class RITUAL(TwoStreams):
    """Adds the logits of a randomly transformed image to those of the image."""

    card = MethodCard(
        title="RITUAL: Random Image Transformations as a Universal Anti-hallucination Lever in "
        "Large Vision Language Models",
        authors="Woo et al.",
        year=2024,
        venue="arXiv",
        paper="arXiv:2405.17821",
        code="https://github.com/sangminwoo/RITUAL@52065a6",
        licence="MIT",
        deviations=(
            "the transform is drawn once an image, by its pixels and the run's seed, so that "
            "questions about it share the transformed prefix; the code draws once a question, in "
            "the order they are asked (variant official_code: once a question, by its id)",
            "formula, transforms and defaults are the code's; the paper was not read",
            "as in the code, the picture is transformed before the processor sees it; torchvision "
            "is replaced by PIL and numpy, and draws other numbers",
            "a crop is 336 x 336 pixels, the input of LLaVA-1.5's tower, for every model; where a "
            "model reads images at their own size, it then has other image tokens",
            "RITUAL+, which lets the model choose the transform, is not built",
            "the code ran LLaVA-1.5 with Vicuna's system prompt: --model-args system_prompt=vicuna",
            "decoding is the run's own, greedy by default; the code replaces sampling only",
        ),
        cost=Cost(token=2),
    )
    other: ClassVar[str] = "transformed"

    class Params(TwoStreams.Params):
        """RITUAL's parameters."""

        variant: Literal["paper", "official_code"] = "paper"
        alpha: float = Field(3.0, ge=0, description="weight of the transformed image's logits")
        transform: Transform | None = Field(None, description="the same for all; None: drawn")

    params: Params

    def view(self, batch: Batch, model: VisionLanguageModel) -> Inputs:
        """Ask the same about transformed images."""
        seeds = batch.image_seeds if self.params.variant == "paper" else batch.seeds
        pairs = zip(batch.images, seeds, strict=True)
        fixed = self.params.transform
        images = [drawn(image.convert("RGB"), seed, fixed) for image, seed in pairs]
        return model.encode(batch.rendered, images)

    def join(self, at: At, main: Tensor, other: Tensor) -> Tensor:
        """Add both up: l + alpha l' (ritual_sample.py:174)."""
        return main + self.params.alpha * other
