"""Folders of images."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from halluc.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image


class ImageFolder:
    """Images by file name, at any depth below a folder.

    Raises:
        UserError: If the folder does not exist.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise UserError(f"{folder}: is not a folder")
        self._folder = folder

    @cached_property
    def _paths(self) -> dict[str, list[Path]]:
        kinds = {".jpg", ".jpeg", ".png", ".webp"}
        paths: dict[str, list[Path]] = {}
        for path in sorted(self._folder.rglob("*")):
            if path.suffix.lower() in kinds:
                paths.setdefault(path.name, []).append(path)
        return paths

    def _named(self, name: str) -> list[Path]:
        if (exact := self._folder / name).is_file():
            return [exact]
        parts = tuple(part for part in name.split("/") if part != ".")
        return [
            path for path in self._paths.get(parts[-1], ()) if path.parts[-len(parts) :] == parts
        ]

    def find(self, name: str, where: str = "") -> Path:
        """Return an image's path.

        Args:
            name: Its file name; folders in it must be above the file too.
            where: The line that names the image, for the error.

        Raises:
            UserError: If it is missing, or is there twice.
        """
        paths = self._named(name)
        if not paths:
            raise UserError(f"{where or self._folder}: image {name!r} is not below {self._folder}")
        if len(paths) > 1:
            raise UserError(
                f"{where or self._folder}: image {name!r} is both {paths[0]} and {paths[1]}"
            )
        return paths[0]

    def has(self, name: str) -> bool:
        """Return whether an image is there."""
        return bool(self._named(name))

    def stems(self) -> dict[str, str]:
        """Return file names by the part before the extension."""
        return {name.rsplit(".", 1)[0]: name for name in self._paths}

    def open(self, name: str, where: str = "") -> Image:
        """Open an image, RGB.

        Raises:
            BadImage: If it cannot be read.
            UserError: If it is missing.
        """
        from halluc.images import open_image

        return open_image(self.find(name, where))
