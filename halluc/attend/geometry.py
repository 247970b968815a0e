"""Geometry: the place in the image that each image token stands for, by family.

A place is a rectangle in pixels of the image as it was given; what a processor does to the image
(squares, crops, canvases of tiles, padding) is followed backwards. Tokens that mark new lines, or
stand for padding, have none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from halluc.attend.boxes import Size, clipped, grid_of, visible_box
from halluc.attend.tiled_images import Layout, on_canvas, packed, split_evenly
from halluc.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

    from halluc.attend.boxes import Boxes
    from halluc.models import VisionLanguageModel


@dataclass(frozen=True)
class Places:
    """Where the n tokens of an image stand in it.

    Attributes:
        size: Width and height of the image.
        boxes: Left, top, right and bottom of each token, in pixels of the image [n, 4]; nan of a
            token that has no place.
        tiles: Tiles the image was cut into, the whole image among them.
    """

    size: Size
    boxes: Boxes
    tiles: int = 1

    def only(self, kept: Any) -> Places | None:
        """Return the places of the patches that are left, int [tiles, n']; None of tiles."""
        if self.tiles > 1:
            return None
        return Places(self.size, self.boxes[kept[0].cpu().numpy()])


def places(model: VisionLanguageModel, image: Image, inputs: Mapping[str, Any]) -> Places:
    """Find the place of each image token of a prompt about one image.

    Args:
        image: As it was given, before it is made square or resized.
        inputs: What `model.encode` made of it and a prompt.

    Raises:
        UserError: If the family's image tokens have no place, or none that is known here.
    """
    import numpy as np

    refuse_without_places(model)
    kind = model.model.config.model_type
    left = top = 0
    seen = image.size
    if model.image_aspect == "pad":
        seen = (max(image.size), max(image.size))
        left, top = (seen[0] - image.width) // 2, (seen[1] - image.height) // 2
    boxes, tiles = _LAYOUTS[kind](model, seen, inputs)
    count = int(model.n_image_tokens(inputs)[0])
    if len(boxes) != count:
        raise UserError(
            f"the image became {count} tokens of {model.name!r} ({kind}), which are not laid out "
            f"as {len(boxes)} patches are; is it cut into tiles in a way of its own?"
        )
    moved = boxes - np.array([left, top, left, top], float)
    return Places(image.size, clipped(moved, image.size), tiles)


def refuse_without_places(model: VisionLanguageModel) -> None:
    """Refuse a model whose image tokens have no place in the image.

    Raises:
        UserError: If it is one, or it is not known here where they stand.
    """
    kind = model.model.config.model_type
    if model.family.token in ("query", "keys"):
        made_of = {"query": "learned queries", "keys": "keys of layers of their own"}
        raise UserError(
            f"the image tokens of {model.name!r} ({kind}) are {made_of[model.family.token]}, "
            "which have no place in the image; give a model whose image tokens are patches"
        )
    if kind not in _LAYOUTS:
        raise UserError(
            f"where the image tokens of {model.name!r} ({kind}) stand in the image is not known; "
            f"families it is known of: {', '.join(sorted(_LAYOUTS))}"
        )


def _one_grid(
    model: VisionLanguageModel, size: Size, inputs: Mapping[str, Any]
) -> tuple[Boxes, int]:
    """One grid over what the processor leaves of the image."""
    from PIL import Image as images

    grid = model.grid(images.new("RGB", size))
    if grid is None:
        raise UserError(
            f"an image of {size[0]} x {size[1]} pixels is cut into tiles by the processor of "
            f"{model.name!r}, in a way that is not known here"
        )
    return grid_of(visible_box(model.processor.image_processor, size), *grid), 1


_LAYOUTS: dict[str, Layout] = {
    **dict.fromkeys(
        (
            "gemma3", "glm4v", "lfm2_vl", "llava", "mistral3", "paligemma", "qwen2_5_vl",
            "qwen2_vl", "qwen3_5", "qwen3_vl", "qwen3_vl_moe", "vipllava",
        ),
        _one_grid,
    ),
    **dict.fromkeys(("aya_vision", "cohere2_vision", "internvl"), on_canvas("last")),
    "ovis2": on_canvas("first"),
    **dict.fromkeys(("idefics3", "smolvlm"), split_evenly),
    **dict.fromkeys(("llava_next", "llava_onevision"), packed),
}  # fmt: skip
