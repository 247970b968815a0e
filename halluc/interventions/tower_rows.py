"""Rows of the vision tower, and the images they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from halluc.models import VisionLanguageModel


def images_of_rows(
    model: VisionLanguageModel,
    inputs: Mapping[str, Any],
    n_images: int,
    n_rows: int,
    start: int = 0,
    n_tokens: int = 0,
) -> list[int] | None:
    """Number the image that each row of the vision tower belongs to.

    Args:
        inputs: Token ids and all that belongs to their images.
        n_images: How many images there are.
        n_rows: Rows that the tower reads together: images, tiles, or one row of patches.
        start, n_tokens: Patches of one row in front of these, and in it.

    Returns:
        One number a row; None if they do not come apart by image.
    """
    if n_rows == n_images:
        return list(range(n_images))
    if n_images == 0:
        return None
    pixels = inputs["pixel_values"]
    if pixels.dim() == 5:  # tiles, all zero where an image has fewer
        sizes = (pixels != 0).flatten(2).any(-1).sum(1).tolist()
    else:
        sizes = [len(image["pixel_values"]) for image in model.image_inputs(inputs)]
    if sum(sizes) == n_rows:
        return [number for number, size in enumerate(sizes) for _ in range(size)]
    ends = list(accumulate(sizes))
    first = start % ends[-1]
    for number, end in enumerate(ends):
        if first < end:
            return [number] if n_rows == 1 and first + n_tokens <= end else None
    return None
