"""Views of an image that show only what a matcher finds relevant to a question."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor


def kept(relevance: Tensor, similarity: float) -> Tensor:
    """Mark pixels that stay: a share of 1 - similarity / 2, the most relevant ones.

    Args:
        relevance: [H, W].
        similarity: Of image and text, -1 to 1; the higher it is, the more is masked.

    Returns:
        bool [H, W]; pixels as relevant as the last one that stays do so too.
    """
    ranked = relevance.flatten().sort(descending=True).values
    share = min(1 - similarity / 2, 1 - 1e-5)
    return relevance >= ranked[int(ranked.numel() * share)]


def mask_image(image: Image, relevance: Tensor, similarity: float) -> Image:
    """Blacken the pixels of an RGB image that are not `kept`; relevance is of its size [H, W]."""
    from PIL import Image as images

    stencil = images.fromarray(kept(relevance, similarity).byte().mul(255).numpy())
    return images.composite(image, images.new("RGB", image.size), stencil)


def question_in(turn: str) -> str:
    """Cut a turn behind its question, without the hint on how to answer; else keep it whole."""
    before, mark, _ = turn.rpartition("?")
    return (before + mark or turn).strip()
