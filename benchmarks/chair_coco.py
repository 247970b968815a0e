"""CHAIR on COCO photographs: which objects does a description name that are not there?

The images and their objects come from COCO's own instances and captions files; the protocol is one
of the two published families that read them. Papers report 512 tokens, or 64 with the unfinished
last sentence cut off. The image sets behind published numbers were never published, so only rows of
one table can be compared.
"""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from halluc.benchmarks._chair import METRICS, ChairBenchmark, cut_unfinished
from halluc.data import coco_objects as coco
from halluc.data.image_folder import ImageFolder
from halluc.data.pinned_files import checksum, verify
from halluc.scoring.base import benchmark
from halluc.scoring.card import BenchmarkCard
from halluc.scoring.chair import caption_files as chair_files
from halluc.scoring.chair import word_families as chair_families
from halluc.types import Answer, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from halluc.scoring.answer_files import AnswerFiles
    from halluc.scoring.chair.metric import ObjectFinder, Tables

PROMPTS = {
    "official": "Please describe this image in detail.",
    "pai": "Please help me describe the image in detail.",
}


def card(title: str) -> BenchmarkCard:
    """Describe CHAIR under one of its two lengths."""
    return BenchmarkCard(
        title=title,
        paper="https://arxiv.org/abs/1809.02156",
        licence="COCO annotations CC BY 4.0; tables and images are their publishers'",
        task="caption",
        metrics=METRICS,
        citation="Rohrbach et al., Object Hallucination in Image Captioning, EMNLP 2018",
        dataset="COCO 2014 val",
        split="val2014",
        size=(500, 500),
    )


@benchmark("chair_coco")
class ChairCoco(ChairBenchmark):
    """Descriptions of up to 512 tokens, read by `pattern` (the original) or `wordnet`.

    Args:
        folder: COCO's annotations (`instances_*.json`, `captions_*.json`, at any depth) and images;
            of several pairs of annotation files, those of val2014 are used.
        tables: The vocabulary, see `word_families.load_tables`; None fetches it.
    """

    card = card("CHAIR (COCO), 512 tokens")
    protocols = tuple(chair_families.FAMILIES)
    prompts = PROMPTS
    max_new_tokens = 512
    images = 500

    def __init__(
        self,
        protocol: str | None = None,
        prompt: str = "official",
        folder: Path | None = None,
        tables: Path | None = None,
    ) -> None:
        super().__init__(protocol, prompt, folder)
        self._tables = tables

    @cached_property
    def tables(self) -> Tables:
        """The published vocabulary."""
        return chair_families.load_tables(self._tables)

    @property
    def finder(self) -> ObjectFinder:
        """The object finder of the protocol's family."""
        return chair_families.object_finder(self.protocol, self.tables)

    @property
    def files_needed(self) -> str:
        """What the folder has to hold, in words."""
        return "COCO's instances_val2014.json and captions_val2014.json, and the images of val2014"

    def samples(self, limit: int | None = None) -> Iterator[Sample]:
        """Yield one request to describe each of 500 images, or of the first `limit` of them.

        The 500 are drawn once with a fixed seed from the images annotated, sorted by id.

        Raises:
            UserError: If annotations or images are missing.
        """
        import random

        folder = self.given()
        paths = [chair_files.val2014(kind) for kind in chair_files.annotation_files(folder)]
        verify("chair_coco", {path.name: checksum(path) for path in paths})
        instances, captions = (coco.load(path) for path in paths)
        ids = sorted(instances.getImgIds())
        drawn = random.Random("chair_coco").sample(ids, min(self.images, len(ids)))[:limit]
        images = ImageFolder(folder)
        for id in drawn:
            name = instances.imgs[id]["file_name"]
            images.find(name)
            yield Sample(
                id=str(id),
                image_id=name,
                prompt=self.prompts[self.prompt],
                load_image=partial(images.open, name),
                target={
                    "categories": coco.objects(instances, [id])[id],
                    "captions": coco.captions(captions, [id])[id],
                },
                max_new_tokens=self.max_new_tokens,
            )

    def read_answers(self, files: AnswerFiles) -> list[Answer]:
        """Read lines of image_id and caption, with `--ground-truth` the objects per image.

        The ground truth is a JSON object of image ids and lists of objects (gzipped or not), made
        by the same family, or a folder of COCO's annotations, in which the objects are found here.

        Raises:
            UserError: If an image is unknown (published scorers treat it as empty), captioned
                twice, or without a caption.
        """
        path = files.require("ground_truth", "objects per image, or COCO's annotations")
        truth = chair_files.read_truth(path)
        if path.is_file():
            self.notes.append(f"ground truth is from {path.name}: it has to be of the same family")
        neighbour = path.parent / "chair_tables.json"
        if self._tables is None and neighbour.is_file():
            self._tables = neighbour
        return [
            Answer(id, id, "all", "", truth[id], text=caption)
            for id, caption in chair_files.read_captions(files.answers, truth, path, files.records)
        ]

    def as_printed(self, totals: Mapping[str, float]) -> dict[str, float]:
        """Return the metrics of chair.py; Len is words / 100, which it prints times 100."""
        parts = {
            "CHAIRs": ("hallucinating", "captions"),
            "CHAIRi": ("hallucinated", "mentions"),
            "Recall": ("found", "truth"),
            "Precision": ("found", "named"),
            "Len": ("words", "captions"),
        }
        named = {
            name: totals[part] / totals[whole] if totals[whole] else float("nan")
            for name, (part, whole) in parts.items()
        }
        objects = totals["truth"] + totals["named"]
        f1 = 2 * totals["found"] / objects if objects else float("nan")
        return {**named, "Len": named["Len"] * 0.01, "F1": f1}

    def detail(self, answer: Answer) -> dict[str, Any]:
        """Return a caption as chair.py lists it under "sentences"."""
        truth = self.truth(answer.target)
        reading = self.finder.find(self.caption(answer))
        wrong = [mention for mention in reading.mentions if mention.node not in truth]
        right = set(reading.nodes) & truth
        return {
            "image_id": answer.image_id,
            "caption": answer.text,
            "mscoco_generated_words": reading.nodes,
            "mscoco_gt_words": sorted(truth),
            "mscoco_hallucinated_words": [[mention.word, mention.node] for mention in wrong],
            "hallucination_idxs": [mention.index for mention in wrong],
            "metrics": {
                "CHAIRs": int(bool(wrong)),
                "CHAIRi": len(wrong) / max(1, len(reading.mentions)),
                "Recall": len(right) / max(1, len(truth)),
            },
        }


@benchmark("chair_coco_64")
class ChairCoco64(ChairCoco):
    """Descriptions of up to 64 tokens, scored up to their last full stop."""

    card = card("CHAIR (COCO), 64 tokens")
    max_new_tokens = 64

    def caption(self, answer: Answer) -> str:
        """Return the answer without its unfinished last sentence."""
        return cut_unfinished(answer.text)
