"""CHAIR on COCO photographs: which objects does a description name that are not there?

The images and what is in them come from COCO's own instances and captions files; which of the two
published families reads them is the protocol. Papers report 512 tokens, or 64 with the unfinished
last sentence cut off; the image sets behind published numbers were never published, so only rows
of one table compare.
"""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from halluc.errors import UserError
from halluc.samples import Answer, Sample
from halluc.scoring import chair_families, coco, hub
from halluc.scoring.benchmark import BenchmarkCard, benchmark
from halluc.scoring.chair_benchmark import METRICS, ChairBenchmark, cut_unfinished
from halluc.scoring.official import Row, rows, text_of, unique

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from halluc.scoring.chair import Reader
    from halluc.scoring.official import OfficialFiles

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
        folder: COCO's annotations (`instances_*.json`, `captions_*.json`, at any depth) and images.
        tables: The vocabulary, see `halluc.scoring.chair_families.load_tables`; None fetches it.
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
    def reader(self) -> Reader:
        """The family's reader over the published vocabulary."""
        tables = chair_families.load_tables(self._tables)
        return chair_families.reader(self.protocol, tables)

    def samples(self, limit: int | None = None) -> Iterator[Sample]:
        """Yield one request to describe each of 500 images, or of the first `limit` of them.

        The 500 are drawn once with a fixed seed from the images annotated, sorted by id.

        Raises:
            UserError: If annotations or images are missing.
        """
        import random

        if self.folder is None:
            raise UserError(f"{self.name}: give a folder with COCO's annotations and images")
        instances = coco.load(_annotations(self.folder, "instances"))
        captions = coco.load(_annotations(self.folder, "captions"))
        ids = sorted(instances.getImgIds())
        drawn = random.Random("chair_coco").sample(ids, min(self.images, len(ids)))[:limit]
        images = hub.ImageFolder(self.folder)
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

    def read_official(self, files: OfficialFiles) -> list[Answer]:
        """Read lines of image_id and caption, with `--ground-truth` the objects per image.

        The ground truth is a JSON object of image ids and lists of objects (gzipped or not), made
        by the same family, or a folder of COCO's annotations, from which it is made here.

        Raises:
            UserError: If an image is unknown, which published scorers take for an empty one, or
                captioned twice, or has no caption.
        """
        captions = _captions(files.answers)
        path = files.require("ground_truth", "objects per image, or COCO's annotations")
        truth = truth_of(path)
        beside = path.parent / "chair_tables.json"
        if self._tables is None and beside.is_file():
            self._tables = beside
        given = [(row.where, _image(row["image_id"])) for row in captions]
        for where, id in given:
            if id not in truth:
                raise UserError(f"{where}: image {id} is not in {files.ground_truth}")
        unique(given)
        return [
            Answer(id, id, "all", "", truth[id], text=row.text("caption"))
            for row, (_, id) in zip(captions, given, strict=True)
        ]

    def official(self, totals: Mapping[str, float]) -> dict[str, float]:
        """Name the metrics as chair.py does; Len is words by 100, which it prints times 100."""
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
        """A caption as chair.py's output lists it under "sentences"."""
        truth = self.truth(answer.target)
        reading = self.reader.read(self.caption(answer))
        wrong = [mention for mention in reading.mentions if mention.node not in truth]
        found = set(reading.nodes) & truth
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
                "Recall": len(found) / max(1, len(truth)),
            },
        }


@benchmark("chair_coco_64")
class ChairCoco64(ChairCoco):
    """Descriptions of up to 64 tokens, scored up to their last full stop."""

    card = card("CHAIR (COCO), 64 tokens")
    max_new_tokens = 64

    def caption(self, answer: Answer) -> str:
        """The answer without its unfinished last sentence."""
        return cut_unfinished(answer.text)


def _annotations(folder: Path, kind: str) -> Path:
    found = sorted(folder.rglob(f"{kind}_*.json"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise UserError(f"{folder}: needs exactly one {kind}_*.json below it, has {names}")
    return found[0]


def _captions(path: Path) -> list[Row]:
    """Caption records: one each, or all under "imgToEval" as coco-caption writes them."""
    found = rows(path)
    if len(found) == 1 and "imgToEval" in found[0].fields:
        return [Row(f"{path} image {id}", record) for id, record in found[0]["imgToEval"].items()]
    return found


def _image(id: Any) -> str:
    """An image id as a string of digits: 139, "139" and "COCO_val2014_000000000139.jpg" alike."""
    digits = str(id).rsplit("_", 1)[-1].split(".")[0]
    return str(int(digits)) if digits.isdigit() else str(id)


def truth_of(path: Path) -> dict[str, dict[str, list[str]]]:
    """Read targets by image id, from objects per image or from a folder of COCO's annotations.

    Raises:
        UserError: If the path is neither.
    """
    import json

    if path.is_dir():
        instances = coco.load(_annotations(path, "instances"))
        captions = coco.load(_annotations(path, "captions"))
        named, said = coco.objects(instances), coco.captions(captions)
        return {str(id): {"categories": named[id], "captions": said[id]} for id in named}
    try:
        sets = json.loads(text_of(path))
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error})") from None
    if not isinstance(sets, dict) or not all(isinstance(names, list) for names in sets.values()):
        raise UserError(f"{path}: needs to be a JSON object of image ids and lists of objects")
    return {_image(id): {"objects": names} for id, names in sets.items()}
