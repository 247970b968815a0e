"""Object HalBench: CHAIR on COCO images; a judge extracts the objects of answers."""

from __future__ import annotations

import base64
from functools import cached_property, partial
from itertools import groupby
from typing import TYPE_CHECKING, ClassVar

from halluc.benchmarks._judged import JudgedBenchmark
from halluc.data.pairing import unique
from halluc.data.pinned_files import checksum, verify
from halluc.data.records import rows
from halluc.data.sample_selection import first_images
from halluc.errors import UserError
from halluc.scoring.base import benchmark
from halluc.scoring.card import BenchmarkCard, Metric
from halluc.scoring.chair.caption_files import annotation_files, read_truth
from halluc.scoring.chair.metric import ObjectFinder, Tables
from halluc.scoring.chair.word_families import load_tables, noun_words
from halluc.scoring.confusion_rates import ratio
from halluc.scoring.text import nltk_words as english
from halluc.types import Answer, Reading, Sample
from halluc.validation import json_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from halluc.scoring.answer_files import AnswerFiles
    from halluc.scoring.base import Totals
    from halluc.scoring.judges.judge_models import Judge

FILE = "obj_halbench_300_with_image.jsonl"
ADDED = {
    "brother": "person",
    "pedestrian": "person",
    "coffee table": "dining table",
    "remote control": "remote",
}
ASK = (
    "List the concrete objects that this text says are in an image, in singular, without what it "
    "says is absent or only possible. Reply with a JSON list of strings and nothing else.\n\n"
    "Text: {text}\nReply:"
)


@benchmark("object_halbench")
class ObjectHalBench(JudgedBenchmark):
    """300 questions on COCO images; a judge lists the objects, CHAIR's vocabulary maps them.

    Nouns are tagged by NLTK and not by spaCy's transformer, and any judge can be used.

    Args:
        folder: obj_halbench_300_with_image.jsonl and COCO's annotations, for running.
        tables: As for `chair_coco`; items are stripped here, and four synonyms added.
    """

    questions: ClassVar[int] = 300
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
    def finder(self) -> ObjectFinder:
        """CHAIR's object finder, with every word lemmatised as a noun."""
        published = load_tables(self._tables)
        nodes = {word.strip(): node.strip() for word, node in published.nodes.items()} | ADDED
        pairs = {word: word for word in nodes if " " in word} | dict(published.double_words)
        return ObjectFinder(Tables(nodes, pairs), noun_words)

    @property
    def files_needed(self) -> str:
        """What the folder has to hold, in words."""
        return f"{FILE} and COCO's annotations"

    def samples(self, limit: int | None = None) -> Iterator[Sample]:
        """Return the questions about each of the first `limit` images.

        Raises:
            UserError: If the file or COCO's annotations are missing, or an image is in neither.
        """
        return first_images(self._asked(self.given()), limit)

    def _asked(self, folder: Path) -> Iterator[Sample]:
        questions = rows(folder / FILE)
        instances, captions = annotation_files(folder)
        files = [folder / FILE, *instances, *captions]
        verify("object_halbench", {path.name: checksum(path) for path in files})
        truth = read_truth(folder)
        for number, row in enumerate(questions):
            id = str(row.number("image_id"))
            if id not in truth:
                raise UserError(f"{row.where}: image {id} is not in COCO's annotations")
            yield Sample(
                id=f"{number:04d}",
                image_id=id,
                prompt=row.text("question"),
                load_image=partial(_decode, row.text("image")),
                target=truth[id],
                max_new_tokens=512,
            )

    def read_answers(self, files: AnswerFiles) -> list[Answer]:
        """Read JSON lines of image_id, question or prompt, and text or answer.

        Args:
            files: With `ground_truth`, the objects per image as for CHAIR.

        Raises:
            UserError: If an image is unknown, a question of it answered twice, or one has no
                answer.
        """
        path = files.require("ground_truth", "objects per image, or COCO's annotations")
        truth, records = read_truth(path), rows(files.answers)
        keys = [(str(row.number("image_id")), row.text("prompt", "question")) for row in records]
        unique([(row.where, key) for row, key in zip(records, keys, strict=True)])
        if len(records) != self.questions:
            raise UserError(f"{records[-1].where}: is answer {len(records)} of {self.questions}")
        answers = []
        for number, (row, (id, question)) in enumerate(zip(records, keys, strict=True)):
            if id not in truth:
                raise UserError(f"{row.where}: image {id} is not in {path}")
            text = row.text("text", "answer").replace("Assistant:", "").strip()
            answers.append(Answer(f"{number:04d}", id, "all", question, truth[id], text=text))
        return answers

    def predict(self, answer: Answer) -> list[tuple[str, str]] | None:
        """Return the judge's words and their COCO objects; None if its reply is not a list."""
        if len(answer.text.split()) <= 3:
            return []
        listed = read(self.ask(ASK.format(text=answer.text)))
        if listed is None:
            return None
        nodes = self.finder.tables.nodes
        words = dict.fromkeys(word for name in listed for word in self.words(name))
        if "toilet" in words and "seat" in words:
            del words["seat"]
        return [(word, nodes[word]) for word in words if word in nodes]

    def words(self, name: str) -> list[str]:
        """Return the words of an object's name: pairs of the vocabulary, else its runs of nouns."""
        tagged = english.tag(english.tokenize(f"a {name.lower()}"))
        lemmas = [english.lemmatize(word) for word, _ in tagged]
        pairs = self.finder.tables.double_words
        known, position = list[str](), 0
        while position < len(lemmas) - 1:
            pair = pairs.get(" ".join(lemmas[position : position + 2]))
            known += [] if pair is None else [pair]
            position += 1 if pair is None else 2
        if known:
            return known
        runs = groupby(zip(lemmas, tagged, strict=True), lambda word: word[1][1].startswith("NN"))
        return [" ".join(lemma for lemma, _ in run) for is_noun, run in runs if is_noun]

    def tally(self, readings: Sequence[Reading]) -> dict[str, float]:
        """Count answers with objects, hallucinating ones, and objects, one for each word."""
        counts = dict.fromkeys(
            ("n", "words", "said", "bad", "objects", "wrong", "truth", "found"), 0
        )
        for reading in readings:
            truth = self.truth(reading.target)
            named = [node for _, node in reading.prediction or ()]
            wrong = sum(node not in truth for node in named)
            counts["n"] += 1
            counts["words"] += len(reading.text.strip().split(" "))
            counts["said"] += bool(named)
            counts["bad"] += bool(wrong)
            counts["objects"] += len(named)
            counts["wrong"] += wrong
            counts["truth"] += len(truth)
            counts["found"] += len(set(named) & truth)
        return {name: float(count) for name, count in counts.items()}

    def right(self, reading: Reading) -> bool | None:
        """Return whether all listed objects are there; None if the judge's reply is not a list."""
        if reading.prediction is None:
            return None
        return {node for _, node in reading.prediction} <= self.truth(reading.target)

    def truth(self, target: Mapping[str, list[str]]) -> set[str]:
        """Return the objects of an image."""
        if "objects" in target:
            return set(target["objects"])
        return self.finder.truth(target["categories"], target["captions"])

    def metrics(self, totals: Totals) -> dict[str, NDArray[np.float64]]:
        """Return the share of hallucinating answers, of those with objects, and of such objects."""
        return {
            "response_hall": ratio(totals["bad"], totals["said"]),
            "object_hall": ratio(totals["wrong"], totals["objects"]),
            "recall": ratio(totals["found"], totals["truth"]),
            "length": ratio(totals["words"], totals["n"]),
        }

    def as_printed(self, totals: Mapping[str, float]) -> dict[str, float]:
        """Return what summarize_gpt_obj_halbench_review.py prints."""
        values = super().as_printed(totals)
        return {
            "Response Hall": values["response_hall"],
            "Object Hall": values["object_hall"],
            "Response Correct": 100 - values["response_hall"],
            "Object Correct": 100 - values["object_hall"],
            "Object Recall": values["recall"],
            "Average Length": values["length"],
            "COCO Sent Number": totals["said"],
            "COCO Word Number": totals["found"],
            "GT Word Number": totals["truth"],
        }


def read(reply: str) -> list[str] | None:
    """Read a JSON list, or one in the last line."""
    for text in (reply, reply.strip().rsplit("\n", 1)[-1]):
        try:
            listed = json_value(text)
        except ValueError:
            continue
        if isinstance(listed, list) and all(isinstance(name, str) for name in listed):
            return listed
    return None


def _decode(image: str) -> Image:
    from halluc.images import BadImage, open_image

    try:
        content = base64.b64decode(image)
    except ValueError as error:
        raise BadImage(f"an image that is not base64 ({error})") from None
    return open_image(content)
