"""Folders of images."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from halluc.errors import UserError
from halluc.validation import shown

if TYPE_CHECKING:
    from PIL.Image import Image


class ImageFolder:
    """Images by file name, at any depth below a folder.

    Names come from question files that somebody else wrote: one that leads out of the folder, by
    itself or by a link, is refused. The hub's cache holds its files as links within the cache.

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

    @cached_property
    def _inside(self) -> Path:
        """The folder that links may lead into: this one, or the cache that it is a snapshot of."""
        for parent in self._folder.parents:
            if parent.name == "snapshots" and (parent.parent / "blobs").is_dir():
                return parent.parent.resolve()
        return self._folder.resolve()

    def _named(self, name: str) -> list[Path]:
        parts = Path(name).parts
        if not parts or Path(name).anchor or ".." in parts:
            return []
        try:
            if (exact := self._folder / name).is_file():
                return [exact]
        except OSError:  # a name that is too long
            return []
        return [
            path for path in self._paths.get(parts[-1], ()) if path.parts[-len(parts) :] == parts
        ]

    def find(self, name: str, where: str = "") -> Path:
        """Return an image's path.

        Args:
            name: Its file name; folders in it must be above the file too.
            where: The line that names the image, for the error.

        Raises:
            UserError: If it is missing, is there twice, or is a link out of the folder.
        """
        paths, image = self._named(name), f"{where or self._folder}: image {shown(name)}"
        if not paths:
            raise UserError(f"{image} is not below {self._folder}")
        if len(paths) > 1:
            raise UserError(f"{image} is both {paths[0]} and {paths[1]}")
        if not paths[0].resolve().is_relative_to(self._inside):
            raise UserError(f"{image} is a link out of {self._folder}; put the file itself there")
        return paths[0]

    def inside(self, name: str) -> str:
        """Return an image's path below the folder, which is one however it is named.

        Raises:
            UserError: If it is missing.
        """
        return self.find(name).relative_to(self._folder).as_posix()

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
