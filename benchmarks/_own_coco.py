"""The base of benchmarks made of one's own COCO annotations."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from pydantic import Field

from halluc.benchmarks._own_data import Options, OwnData
from halluc.data import coco_objects as coco
from halluc.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from pycocotools.coco import COCO


class CocoOptions(Options):
    """What can be said about a folder with COCO's annotations."""

    annotations: str = Field("", description="Which instances file, where there are several.")


class OwnCoco(OwnData):
    """A folder with instances_*.json of COCO's format, at any depth, and images."""

    Options = CocoOptions

    def files(self) -> list[Path]:
        """Return the instances file."""
        return [self.instances_file()]

    @property
    def files_needed(self) -> str:
        """What the folder has to hold, in words."""
        return "your images and COCO's instances_*.json of them"

    def instances_file(self) -> Path:
        """Find the instances file: the only one, or the one that `annotations` names.

        Raises:
            UserError: If there is none, or several.
        """
        return self.one_file("instances", self.options.annotations)

    def one_file(self, kind: str, name: str = "") -> Path:
        """Find a file of annotations.

        Raises:
            UserError: If there is none, or several.
        """
        folder = self.given()
        if name:
            path = folder / name
            if not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
                raise UserError(f"{self.name}: annotations={name}: is not a file below {folder}")
            return path
        found = self.annotation_files(kind)
        if len(found) == 1:
            return found[0]
        if not found:
            raise UserError(f"{self.name}: needs COCO's {kind}_*.json below {folder}")
        names = [path.relative_to(folder).as_posix() for path in found]
        raise UserError(
            f"{self.name}: {folder} has {', '.join(names)}; say which: annotations={names[0]}"
        )

    def annotation_files(self, kind: str) -> list[Path]:
        """List the files named `<kind>_*.json`, without POPE's questions made of them."""
        found = sorted(self.given().rglob(f"{kind}_*.json"))
        return [path for path in found if "_pope_" not in path.name]

    @cached_property
    def instances(self) -> COCO:
        """The annotated objects."""
        return coco.load(self.instances_file())
