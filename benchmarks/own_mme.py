"""MME's questions on existence, count and position about one's own images."""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING

from pydantic import Field

from halluc.benchmarks._mme import PROMPTS, MmeBenchmark, score_metrics
from halluc.benchmarks._own_coco import CocoOptions, OwnCoco
from halluc.benchmarks._own_data import DATASET
from halluc.errors import UserError
from halluc.scoring.base import benchmark
from halluc.scoring.card import BenchmarkCard
from halluc.scoring.mme import questions as mme
from halluc.types import Sample
from halluc.validation import shown

if TYPE_CHECKING:
    from collections.abc import Iterator


class MmeOptions(CocoOptions):
    """What can be said about questions that are drawn."""

    seed: int = Field(0, description="Seed of what is asked about.")


@benchmark("own_mme")
class OwnMme(OwnCoco, MmeBenchmark):
    """Pairs of questions in three subtasks about all annotated images, scored as MME's are.

    The folder has COCO's instances_*.json and the images. Position needs boxes; MME's fourth
    subtask, color, is in no annotation.
    """

    Options = MmeOptions
    subtasks = mme.SUBTASKS
    prompts = PROMPTS
    card = BenchmarkCard(
        title="MME's existence, count and position on one's own images",
        paper="https://arxiv.org/abs/2306.13394",
        licence="the user's",
        task="yes_no",
        metrics=score_metrics(mme.SUBTASKS),
        citation="Fu et al., MME: A Comprehensive Evaluation Benchmark for Multimodal Large "
        "Language Models, 2023 (how questions are worded and scored)",
        dataset=DATASET,
        split="all",
    )

    def samples(self, limit: int | None = None) -> Iterator[Sample]:
        """Yield up to six questions about each of the first `limit` images, sorted by id.

        What is asked about an image depends on the seed, its name and the categories.

        Raises:
            UserError: If annotations are wrong, or no image is there.
        """
        images, asked = self.images, 0
        vocabulary = [c["name"] for c in self.instances.dataset.get("categories", ())]
        for image in self._boxes():
            if not images.has(image.image):
                continue
            if asked == limit:
                return
            asked += 1
            rng = random.Random(f"own_mme/{self.options.seed}/{image.image}")
            for subtask, pair in mme.pairs(image, vocabulary, rng).items():
                for label, question in zip(("yes", "no"), pair, strict=True):
                    yield Sample(
                        id=f"{subtask}/{image.image}/{label}",
                        image_id=image.image,
                        prompt=question + self.prompts[self.prompt],
                        load_image=partial(images.open, image.image),
                        target=label,
                        group=subtask,
                    )
        if not asked:
            raise UserError(
                f"{self.instances_file()}: names no image that is below the folder; give it: "
                "images=FOLDER"
            )

    def _boxes(self) -> Iterator[mme.Boxes]:
        names = {c["id"]: c["name"] for c in self.instances.dataset.get("categories", ())}
        for id in sorted(self.instances.getImgIds()):
            boxes = []
            for note in self.instances.imgToAnns[id]:
                left, right = _edges(note.get("bbox"), note["id"])
                crowd = bool(note.get("iscrowd"))
                boxes.append(mme.Box(names[note["category_id"]], left, right, crowd))
            yield mme.Boxes(self.instances.imgs[id]["file_name"], tuple(boxes))


def _edges(box: object, id: int) -> tuple[float, float]:
    """Return a box's left and right edge; one that is not there overlaps with everything."""
    if box is None:
        return float("-inf"), float("inf")
    if isinstance(box, list) and len(box) == 4 and all(isinstance(v, int | float) for v in box):
        return float(box[0]), float(box[0] + box[2])
    raise UserError(f"annotation {id}: its bbox {shown(box)} is not [x, y, width, height]")
