"""Object HalBench: CHAIR on 300 COCO images, the objects taken out of answers by a judge."""

from __future__ import annotations

import base64
import json
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from halluc.benchmarks.chair_coco import truth_of
from halluc.errors import UserError
from halluc.samples import Answer, Sample
from halluc.scoring import english
from halluc.scoring.benchmark import BenchmarkCard, Metric, benchmark
from halluc.scoring.chair import Reader, Tables
from halluc.scoring.chair_families import load_tables, noun_words
from halluc.scoring.judged_benchmark import JudgedBenchmark
from halluc.scoring.official import rows
from halluc.scoring.rates import ratio

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from halluc.scoring.benchmark import Totals
    from halluc.scoring.judges import Judge
    from halluc.scoring.official import OfficialFiles

FILE = "obj_halbench_300_with_image.jsonl"
ADDED = {"brother": "person", "pedestrian": "person", "coffee table": "dining table",
         "remote control": "remote"}  # fmt: skip
ASK = (
    "List the concrete objects that this text says are in an image, in singular, without what it "
    "says is absent or only possible. Reply with a JSON list of strings and nothing else.\n\n"
    "Text: {text}\nReply:"
)


@benchmark("object_halbench")
class ObjectHalBench(JudgedBenchmark):
    """300 images, several prompts each; a judge lists the objects, CHAIR's vocabulary maps them.

    Nouns are tagged by NLTK and not by spaCy's transformer, and the judge is whichever is given.

    Args:
        folder: obj_halbench_300_with_image.jsonl and COCO's annotations, for running.
        tables: As for `chair_coco`; items are stripped here, and four synonyms added.
    """

    card = BenchmarkCard(
        title="Object HalBench",
        paper="https://arxiv.org/abs/2312.00849",
        licence="see RLHF-V's repository; COCO annotations CC BY 4.0",
        task="caption",
        metrics=(
            Metric("response_hall", higher_is_better=False, headline=True, scale=100),
            Metric("object_hall", higher_is_better=False, headline=True, scale=100),
            Metric("recall", headline=True, scale=100),
            Metric("length", higher_is_better=None, headline=True),
        ),
        citation="Yu et al., RLHF-V, CVPR 2024",
        dataset="RLHF-V/RLHF-V eval/data",
    )

    def __init__(
        self,
        protocol: str | None = None,
        prompt: str = "official",
        folder: Path | None = None,
        judge: Judge | None = None,
        tables: Path | None = None,
    ) -> None:
        super().__init__(protocol, prompt, folder, judge)
        self._tables = tables

    @cached_property
    def reader(self) -> Reader:
        """CHAIR with every word lemmatised as a noun."""
        published = load_tables(self._tables)
        nodes = {word.strip(): node.strip() for word, node in published.nodes.items()}
        pairs = {**published.double_words, **{w: w for w in ADDED if " " in w}}
        return Reader(Tables({**nodes, **ADDED}, pairs), noun_words)

    def samples(self, limit: int | None = None) -> Iterator[Sample]:
        """Yield the questions about each of the first `limit` images.

        Raises:
            UserError: If the file or COCO's annotations are missing, or an image is in neither.
        """
        if self.folder is None:
            raise UserError(f"object_halbench: give a folder with {FILE} and COCO's annotations")
        truth = truth_of(self.folder)
        by_image: dict[str, list[Sample]] = {}
        for number, row in enumerate(rows(self.folder / FILE)):
            id = str(int(row["image_id"]))
            if id not in truth:
                raise UserError(f"{row.where}: image {id} is not in COCO's annotations")
            by_image.setdefault(id, []).append(
                Sample(
                    id=f"{number:04d}",
                    image_id=id,
                    prompt=row["question"],
                    load_image=partial(_decode, row["image"]),
                    target=truth[id],
                    max_new_tokens=512,
                )
            )
        for samples in list(by_image.values())[:limit]:
            yield from samples

    def read_official(self, files: OfficialFiles) -> list[Answer]:
        """Read JSON lines of image_id and answer, with `--ground-truth` as for CHAIR.

        Raises:
            UserError: If an image is unknown.
        """
        path = files.require("ground_truth", "objects per image, or COCO's annotations")
        truth = truth_of(path)
        answers = []
        for number, row in enumerate(rows(files.answers)):
            id = str(int(row["image_id"]))
            if id not in truth:
                raise UserError(f"{row.where}: image {id} is not in {path}")
            text = row.text("answer", "text")
            answers.append(Answer(f"{number:04d}", id, "all", "", truth[id], text=text))
        return answers

    def predict(self, answer: Answer) -> list[str] | None:
        """The distinct COCO objects the judge lists; None if its reply is no list."""
        if len(answer.text.split()) <= 3:
            return []
        listed = read(self.ask(ASK.format(text=answer.text)))
        if listed is None:
            return None
        nodes = [node for name in listed for node in self.reader.read(_nouns(name)).nodes]
        return list(dict.fromkeys(nodes))

    def tally(self, answers: Sequence[Answer]) -> dict[str, float]:
        """Count answers with objects, hallucinating ones, and distinct objects."""
        counts = dict.fromkeys(
            ("n", "words", "said", "bad", "objects", "wrong", "truth", "found"), 0
        )
        for answer in answers:
            truth = self.truth(answer.target)
            named = set(answer.prediction or ())
            wrong = named - truth
            counts["n"] += 1
            counts["words"] += len(answer.text.split())
            counts["said"] += bool(named)
            counts["bad"] += bool(wrong)
            counts["objects"] += len(named)
            counts["wrong"] += len(wrong)
            counts["truth"] += len(truth)
            counts["found"] += len(named & truth)
        return {name: float(count) for name, count in counts.items()}

    def truth(self, target: Mapping[str, list[str]]) -> set[str]:
        """The objects of an image."""
        if "objects" in target:
            return set(target["objects"])
        return self.reader.truth(target["categories"], target["captions"])

    def metrics(self, totals: Totals) -> dict[str, NDArray[np.float64]]:
        """Hallucinating answers of those that name an object; hallucinated objects of all."""
        return {
            "response_hall": ratio(totals["bad"], totals["said"]),
            "object_hall": ratio(totals["wrong"], totals["objects"]),
            "recall": ratio(totals["found"], totals["truth"]),
            "length": ratio(totals["words"], totals["n"]),
        }


def read(reply: str) -> list[str] | None:
    """Read a JSON list, or one in the last line."""
    for text in (reply, reply.strip().rsplit("\n", 1)[-1]):
        try:
            listed = json.loads(text)
        except ValueError:
            continue
        if isinstance(listed, list) and all(isinstance(name, str) for name in listed):
            return listed
    return None


def _nouns(name: str) -> str:
    """The nouns of an object's name, as the authors take them from "a" and the name."""
    tagged = english.tag(english.tokenize(f"a {name.lower()}"))[1:]
    return " ".join(word for word, tag in tagged if tag.startswith("NN")) or name.lower()


def _decode(image: Any) -> Image:
    from halluc.images import open_image

    return open_image(base64.b64decode(image))
