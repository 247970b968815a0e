"""Layouts of images that are cut into tiles: where each token of each tile stands.

A layout is given a model, the size of the image as its processor sees it, and the model's inputs;
it returns the tokens' boxes [n, 4] in that image, and the number of tiles. How many rows and
columns of tiles there are is asked of the processor's own functions, and what is packed of the
model's own.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from halluc.attend.boxes import Box, Size, grid_of
from halluc.errors import UserError

if TYPE_CHECKING:
    from halluc.attend.boxes import Boxes
    from halluc.models import VisionLanguageModel

Layout = Callable[["VisionLanguageModel", Size, Mapping[str, Any]], "tuple[Boxes, int]"]


def _tiles(rows: int, columns: int, count: int, size: Size, whole: str) -> Boxes:
    """Lay a grid over each tile of a canvas that covers the image, and one over all of it.

    Args:
        rows, columns: Of tiles; 0 or 1 in all where there is but the whole image.
        count: Tokens along a side of each tile.
        whole: Where the whole image stands: "first", "last" or "nowhere".
    """
    import numpy as np

    image: Box = (0.0, 0.0, float(size[0]), float(size[1]))
    over_all = [grid_of(image, count, count)]
    if rows * columns <= 1:
        return over_all[0]
    each = [
        grid_of((box[0], box[1], box[2], box[3]), count, count)
        for box in grid_of(image, rows, columns)
    ]
    both = {"first": over_all + each, "last": each + over_all, "nowhere": each}
    return np.concatenate(both[whole])


def on_canvas(whole: str) -> Layout:
    """The image on a canvas of tiles of the closest shape (GOT-OCR2's rule, and Ovis2's)."""

    def layout(
        model: VisionLanguageModel, size: Size, inputs: Mapping[str, Any]
    ) -> tuple[Boxes, int]:
        tiles = len(inputs["pixel_values"])
        rows, columns = canvas(model.processor.image_processor, size) if tiles > 1 else (1, 1)
        also = whole if tiles == rows * columns + 1 else "nowhere"
        each = int(model.n_image_tokens(inputs)[0]) // tiles
        return _tiles(rows, columns, round(each**0.5), size, also), tiles

    return layout


def canvas(processor: Any, size: Size) -> tuple[int, int]:
    """Ask the module of an image processor for the rows and columns of tiles.

    Raises:
        UserError: If it has no function that is known here.
    """
    tile, most, high_wide = processor.size, processor.max_patches, (size[1], size[0])
    for cls in type(processor).__mro__:
        own = vars(sys.modules[cls.__module__])
        covering = own.get("get_min_tile_covering_grid")
        closest = own.get("get_optimal_tiled_canvas")
        if covering and getattr(processor, "use_covering_area_grid", False):
            columns, rows = covering(high_wide, tile.height, most)
        elif closest:
            least = processor.min_patches
            columns, rows = closest(high_wide, (tile.height, tile.width), least, most)
        else:
            continue
        return rows, columns
    raise UserError(f"{type(processor).__name__} cuts tiles in a way that is not known here")


def split_evenly(
    model: VisionLanguageModel, size: Size, inputs: Mapping[str, Any]
) -> tuple[Boxes, int]:
    """Tiles of an image stretched to a multiple of them, then the whole image (Idefics3)."""
    processor = model.processor.image_processor
    _, rows, columns = processor.get_number_of_image_patches(size[1], size[0])
    tiles = max(1, rows * columns + (rows * columns > 1))
    each = int(model.n_image_tokens(inputs)[0]) // tiles
    return _tiles(rows, columns, round(each**0.5), size, "last"), tiles


def packed(model: VisionLanguageModel, size: Size, inputs: Mapping[str, Any]) -> tuple[Boxes, int]:
    """The whole image, then one grid over all tiles, without padding, with new lines (LLaVA-NeXT).

    The model's own functions pack and unpad; OneVision's thins a large grid out.
    """
    import numpy as np
    import torch
    from transformers.models.llava_next import modeling_llava_next as llava_next

    vision, pinpoints = model.model.config.vision_config, model.model.config.image_grid_pinpoints
    tile, patch = vision.image_size, vision.patch_size
    side, high_wide = tile // patch, (size[1], size[0])
    rows, columns = llava_next.get_anyres_image_grid_shape(high_wide, pinpoints, tile)
    down, across = _lines(model, 1 + rows * columns, side, high_wide)

    # The patches of the canvas that are left without padding, by their corners in its pixels.
    y, x = (torch.arange(count * side).float() * patch for count in (rows, columns))
    corners = torch.stack([x.expand(len(y), -1), y[:, None].expand(-1, len(x))])
    left = llava_next.unpad_image(corners, high_wide).flatten(1).double().numpy()
    region = np.array([left.min(1), left.max(1) + patch])  # (left, top), (right, bottom)

    # From the canvas back to the image, which was resized to fit and put in its middle.
    wide_high, whole = np.array(size), np.array([columns * tile, rows * tile])
    shown = np.minimum(np.ceil(wide_high * (whole / wide_high).min()), whole)
    region = (region - (whole - shown) // 2) * wide_high / shown

    lines = np.full((down, across + 1, 4), np.nan)
    (x0, y0), (x1, y1) = region.tolist()
    lines[:, :-1] = grid_of((x0, y0, x1, y1), down, across).reshape(down, across, 4)
    base = grid_of((0.0, 0.0, float(size[0]), float(size[1])), side, side)
    return np.concatenate([base, lines.reshape(-1, 4)]), 1 + rows * columns


def _lines(
    model: VisionLanguageModel, tiles: int, side: int, high_wide: tuple[int, int]
) -> tuple[int, int]:
    """Ask the model how many lines, of how many tokens, it packs the grid over all tiles into."""
    import torch

    pack = model.model.base_model.pack_image_features
    extra = {"vision_feature_select_strategy": "full"}
    if "vision_aspect_ratio" in inspect.signature(pack).parameters:
        extra = {"vision_aspect_ratio": model.model.config.vision_aspect_ratio}
    ones, newline = torch.ones(tiles, side * side, 1), torch.full((1,), torch.nan)
    tokens, _ = pack([ones], torch.tensor([high_wide]), image_newline=newline, **extra)
    ends = tokens[0][side * side :, 0].isnan()
    across = int(ends.int().argmax())
    return int(ends.sum()), across
