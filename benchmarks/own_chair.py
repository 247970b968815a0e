"""CHAIR on one's own images: objects from COCO annotations."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pydantic import Field

from halluc.benchmarks._own_captions import OwnCaptions, card, target
from halluc.benchmarks._own_coco import CocoOptions, OwnCoco
from halluc.data import coco_objects as coco
from halluc.errors import UserError
from halluc.scoring.base import benchmark
from halluc.types import Sample

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class ChairOptions(CocoOptions):
    """What can be said about images to describe."""

    captions: str = Field("", description="Which captions file, where there are several.")
    max_new_tokens: int = Field(512, ge=1, description="Where a description is cut.")


@benchmark("own_chair")
class OwnChair(OwnCoco, OwnCaptions):
    """Descriptions of all annotated images; the vocabulary is the annotations' categories.

    The folder has COCO's instances_*.json and may have captions_*.json: what human captions name is
    in the image too. Images that are not in the folder are left out.
    """

    Options = ChairOptions
    card = card("CHAIR on one's own images")

    def files(self) -> list[Path]:
        """Return the files of annotations: of objects, and of captions if there are any."""
        captions = self._captions_file()
        return [*super().files(), *([captions] if captions else [])]

    def _captions_file(self) -> Path | None:
        if not self.options.captions and not self.annotation_files("captions"):
            return None
        return self.one_file("captions", self.options.captions)

    def samples(self, limit: int | None = None) -> Iterator[Sample]:
        """Yield a request to describe each of the first `limit` images, sorted by id.

        Raises:
            UserError: If annotations are wrong, or no image is there.
        """
        instances, images, path = self.instances, self.images, self._captions_file()
        names = {id: instances.imgs[id]["file_name"] for id in sorted(instances.getImgIds())}
        there = [id for id, name in names.items() if images.has(name)]
        if not there:
            raise UserError(
                f"{self.instances_file()}: names no image that is below the folder; give it: "
                "images=FOLDER"
            )
        captions = coco.captions(coco.load(path)) if path else {}
        for id in there[:limit]:
            yield Sample(
                id=str(id),
                image_id=names[id],
                prompt=self.prompts[self.prompt],
                load_image=partial(images.open, names[id]),
                target=target(coco.objects(instances, [id])[id], captions.get(id, [])),
                max_new_tokens=self.options.max_new_tokens,
            )

    def vocabulary(self) -> list[str]:
        """Return the names of all categories."""
        return [category["name"] for category in self.instances.dataset.get("categories", ())]
