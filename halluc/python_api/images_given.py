"""Images as a program gives them: files, Pillow's, arrays."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.errors import UserError
from halluc.validation import shown

if TYPE_CHECKING:
    from PIL.Image import Image


def opened(image: Any) -> Image:
    """Return an image as RGB, turned as its EXIF orientation says.

    Args:
        image: A file; an image of Pillow; or an array of whole numbers 0 to 255 (uint8), [H, W] or
            [H, W, 3], or [H, W, 4] whose transparency is dropped.

    Raises:
        UserError: If it is none of these, or cannot be read.
    """
    from PIL import Image, ImageOps

    from halluc.images import BadImage, as_rgb, open_image

    try:
        if isinstance(image, str | PathLike):
            if not Path(image).is_file():
                raise UserError(f"image {str(image)!r}: there is no such file")
            return open_image(Path(image))
        if isinstance(image, Image.Image):
            return as_rgb(ImageOps.exif_transpose(image))
        return Image.fromarray(_pixels(image)).convert("RGB")
    except BadImage as error:
        raise UserError(f"image {error}") from error


def _pixels(given: Any) -> Any:
    import numpy as np

    try:
        array = np.asarray(given)
    except (TypeError, ValueError, RuntimeError):
        array = np.asarray(None)
    if array.dtype.kind not in "uif":
        raise UserError(f"image {shown(given)}: give a file, an image of Pillow, or an array")
    drawn = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if array.dtype != np.uint8 or not drawn or not array.size:
        raise UserError(
            f"image of {array.dtype} {list(array.shape)}: an array holds whole numbers 0 to 255 "
            "(uint8), height by width, or by 3 or 4 colours more"
        )
    return array
