"""AMBER's images: in a folder, or on the hub."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from halluc.data.hub import Dataset
from halluc.data.image_folder import ImageFolder
from halluc.errors import UserError
from halluc.scoring.base import FOLDER
from halluc.validation import shown

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image

MIRROR = Dataset(
    repo="visual-preference/AMBER",
    files={"images": "data/query_generative-*.parquet"},
    columns=("id",),
)
"""The images on the hub: the authors' link is dead. Their texts stay the reference."""
IMAGES = 1004

Images = Callable[[str, str], Callable[[], "Image"]]
"""Finds an image by its name and the line that names it; what it returns opens the image."""


def in_folder(folder: Path) -> Images:
    """Find the images below a folder.

    Raises:
        UserError: If there is no such folder, or an image is not in it.
    """
    images = ImageFolder(folder)

    def find(name: str, where: str) -> Callable[[], Image]:
        images.find(name, where)
        return partial(images.open, name, where)

    return find


def mirrored() -> Images:
    """Find the images on the hub.

    Raises:
        UserError: If they cannot be fetched, are not AMBER's 1004, or have changed since.
    """
    table = MIRROR.load("images")
    rows_of = {f"AMBER_{row['id']}.jpg": number for number, row in enumerate(table.rows)}
    wanted = {f"AMBER_{number}.jpg" for number in range(1, IMAGES + 1)}
    if rows_of.keys() != wanted or len(table.rows) != IMAGES:
        raise UserError(
            f"{MIRROR.repo}: has {len(table.rows)} images, not AMBER_1 to AMBER_{IMAGES}; give a "
            f"folder with AMBER's images: {FOLDER}"
        )

    def find(name: str, where: str) -> Callable[[], Image]:
        if name not in rows_of:
            raise UserError(f"{where}: image {shown(name)} is not in {MIRROR.repo}")
        return partial(table.image, rows_of[name])

    return find
