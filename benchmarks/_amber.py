"""The base of AMBER's three benchmarks: its files and tasks."""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from halluc.benchmarks._amber_images import in_folder, mirrored
from halluc.data.pairing import by_id, unique
from halluc.data.pinned_files import checksum, fetch, verify
from halluc.data.records import Row, json_of, rows, text_of
from halluc.data.sample_selection import first_images
from halluc.errors import UserError
from halluc.scoring.amber import metric as amber
from halluc.scoring.answer_files import answer_of
from halluc.scoring.base import Benchmark
from halluc.scoring.card import Metric
from halluc.types import Answer, Reading, Sample
from halluc.validation import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from halluc.benchmarks._amber_images import Images
    from halluc.scoring.answer_files import AnswerFiles
    from halluc.scoring.base import Totals

COMMIT = "534babf6bbfcce2e735c26289dedfb21cef3c939"
PUBLISHED = f"https://raw.githubusercontent.com/junyangwang0410/AMBER/{COMMIT}/data"
CHECKSUMS = {
    "annotations.json": "db22a436c4836fbb295e60b4e80d519573077579fb7032f01b193c1bd022b797",
    "relation.json": "c4c1491e9bbc3209abc1888c12a1bf8413bdbab8a0d8be04b990a2e7680cf23e",
    "safe_words.txt": "f92cf1123f4578a2630832fac3e6ac4de36212ea55859d3bed4fd233723f4043",
    "query_all.json": "127680ae61f7d4a92d2f7f07a8deaec07f0689b194d2c7c0f41ead7bd2c5bcf5",
}
GENERATIVE = (
    Metric("CHAIR", higher_is_better=False, headline=True),
    Metric("Cover", headline=True),
    Metric("Hal", higher_is_better=False, headline=True),
    Metric("Cog", higher_is_better=False),
)
DISCRIMINATIVE = tuple(
    Metric(f"{part}/{name}", headline=part == "all" and name in ("Accuracy", "F1"))
    for part in amber.PARTS
    for name in ("Accuracy", "Precision", "Recall", "F1")
)


class AmberBenchmark(Benchmark):
    """AMBER's generative task, its discriminative one, or both.

    Args:
        folder: annotations.json, relation.json, safe_words.txt, query_all.json (at any depth) and
            the images AMBER_1.jpg to AMBER_1004.jpg; None fetches texts and images.
        alike: Says if a noun stands for a word that it does not equal; None uses spaCy's vectors
            where they are installed, else equal words. A note names the one that was used.
    """

    generative: ClassVar[bool] = True
    discriminative: ClassVar[bool] = True
    prompts: ClassVar[Mapping[str, str]] = {
        "official": "",
        "vlmevalkit": "\nPlease answer yes or no.",
    }

    def __init__(
        self,
        protocol: str | None = None,
        prompt: str = "official",
        folder: Path | None = None,
        alike: amber.Alike | None = None,
    ) -> None:
        super().__init__(protocol, prompt, folder)
        self._alike = alike

    @cached_property
    def alike(self) -> amber.Alike:
        """The similarity of words; a note names it."""
        if self._alike is not None:
            return self._alike
        try:
            alike = amber.spacy_vectors()
        except UserError:
            self.notes.append("similarity: equal words (spaCy's en_core_web_lg is not installed)")
            return amber.exact
        self.notes.append("similarity: spaCy en_core_web_lg above 0.8, as published")
        return alike

    @cached_property
    def lexicon(self) -> amber.Lexicon:
        """The vocabulary of nouns."""
        path = self._file("relation.json")
        words = Row(str(path), json_of(path, dict))
        related = {name: words.texts(name) for name in words.fields}
        safe = text_of(self._file("safe_words.txt")).split("\n")
        return amber.Lexicon(related, frozenset(word.removesuffix("\r") for word in safe if word))

    def samples(self, limit: int | None = None) -> Iterator[Sample]:
        """Return all questions about each of the first `limit` images.

        Raises:
            UserError: If files or images are missing, or have changed since they were first used.
        """
        images: Images = mirrored() if self.folder is None else in_folder(self.folder)
        return first_images(self._asked(images), limit)

    def _asked(self, images: Images) -> Iterator[Sample]:
        truth = self._annotations(rows(self._file("annotations.json")))
        queries = self._file("query_all.json")
        for id, row in by_id(rows(queries), "id", truth, needed=()).items():
            target, name = truth[id], row.text("image")
            if not self._wanted(target):
                continue
            described = target["type"] == "generative"
            load = images(name, row.where)
            yield Sample(
                id=f"{id:05d}",
                image_id=name,
                prompt=row.text("query") + ("" if described else self.prompts[self.prompt]),
                load_image=load,
                target=target,
                group=_group(target),
                max_new_tokens=512 if described else 16,
            )

    def predict(self, answer: Answer) -> Any:
        """Return a description's nouns; "yes" or "no" if the answer is exactly Yes or No."""
        if answer.group == "generative":
            return self.lexicon.nouns(answer.text)
        return {"Yes": "yes", "No": "no"}.get(answer.text)

    def label(self, answer: Answer) -> str | None:
        """Return the right answer of a discriminative question."""
        return None if answer.group == "generative" else str(answer.target["truth"])

    def right(self, reading: Reading) -> bool:
        """Return whether the answer is right, or the description names only what is there."""
        counts = self.tally([reading])
        return any(counts[name] for name in counts if name.endswith(("clean", "/correct")))

    def caption(self, answer: Answer) -> str | None:
        """Return a description; None for an answer to a question."""
        return answer.text if answer.group == "generative" else None

    def tally(self, readings: Sequence[Reading]) -> dict[str, float]:
        """Count nouns and objects of descriptions, and right answers by dimension."""
        counts: Counter[str] = Counter()
        for reading in readings:
            target = reading.target
            if reading.group == "generative":
                likely, nouns = target["hallu"], reading.prediction
                counts.update(
                    amber.describe(nouns, target["truth"], likely, self.lexicon, self.alike)
                )
            else:
                counts.update(amber.discriminate(target["type"], target["truth"], reading.text))
        return {name: float(count) for name, count in counts.items()}

    def metrics(self, totals: Totals) -> dict[str, NDArray[np.float64]]:
        """Return the percentages of this benchmark's tasks."""
        values = amber.generative(totals) if self.generative else {}
        return values | (amber.discriminative(totals) if self.discriminative else {})

    def as_printed(self, totals: Mapping[str, float]) -> dict[str, Any]:
        """Return what inference.py prints, task by task."""
        return dict(amber.as_printed(Counter(totals)))

    def read_answers(self, files: AnswerFiles) -> list[Answer]:
        """Read a JSON list of id and response, with `--labels` AMBER's annotations.json.

        Raises:
            UserError: If an id is unknown or answered twice, some of a task's ids have no answer
                while others do, or an answer states another truth than the annotations.
        """
        records, inside = files.rows(), False
        if files.labels is not None:
            annotations = rows(labels := files.require("labels", ""))
            self.folder = self.folder or labels.parent
        elif inside := all("truth" in row.fields and "type" in row.fields for row in records):
            annotations = records
            self.notes.append("truths are in the answers: missing answers go unnoticed")
        else:
            annotations = rows(self._file("annotations.json"))
        truth = self._annotations(annotations)
        images = {id: str(row["image"]) for id, row in truth.items() if "image" in row}
        images = images if inside else self._images()
        answers = []
        for id, row in by_id(records, "id", truth, needed=()).items():
            target = truth[id]
            if not self._wanted(target):
                continue
            _check_truth(row, target)
            answers.append(
                Answer(
                    id=f"{id:05d}",
                    image_id=images.get(id, f"question {id}"),
                    group=_group(target),
                    prompt="",
                    target=target,
                    text=answer_of(row, "response"),
                )
            )
        self._complete(answers, truth, files.answers)
        groups = {_group(target) for target in truth.values() if self._wanted(target)}
        if left := sorted(groups - {answer.group for answer in answers}):
            self.notes.append(f"no answers to {', '.join(left)}: sums with them are left out")
        if not images:
            self.notes.append("no images named: intervals resample questions and are too narrow")
        return answers

    def _images(self) -> dict[int, str]:
        """Return the image of each id, if query_all.json is next to the annotations."""
        paths = sorted(self.folder.rglob("query_all.json")) if self.folder else []
        return {row.number("id"): row.text("image") for path in paths[:1] for row in rows(path)}

    def _complete(self, answers: Sequence[Answer], truth: Mapping[int, Any], path: Path) -> None:
        """Check that each task has all of its answers or none."""
        answered = {int(answer.id) for answer in answers}
        groups = {_group(truth[id]) for id in answered}
        missing = [id for id, target in truth.items() if _group(target) in groups - {""}]
        missing = [id for id in missing if id not in answered]
        if missing:
            raise UserError(
                f"{path}: {len(missing)} of {_group(truth[missing[0]])} have no answer, "
                f"first id {missing[0]}: is the file truncated?"
            )

    def _wanted(self, target: Mapping[str, Any]) -> bool:
        return self.generative if target["type"] == "generative" else self.discriminative

    def _annotations(self, annotations: Sequence[Row]) -> dict[int, dict[str, Any]]:
        unique([(row.where, row.number("id")) for row in annotations])
        for row in annotations:
            kind = row.text("type")
            if kind == "generative":
                row.texts("truth"), row.texts("hallu")
            elif kind not in amber.DIMENSIONS:
                raise UserError(f"{row.where}: type {kind!r} is not one of AMBER's")
            elif row["truth"] not in ("yes", "no"):
                raise UserError(f"{row.where}: truth {row['truth']!r} is neither yes nor no")
        return {row.number("id"): row.fields for row in annotations}

    def _file(self, name: str) -> Path:
        if self.folder is None:
            path = f"query/{name}" if name.startswith("query") else name
            return fetch(f"{PUBLISHED}/{path}", CHECKSUMS[name])
        paths = sorted(self.folder.rglob(name))
        if not paths:
            raise UserError(f"{self.folder}: has no {name}")
        verify("AMBER", {name: checksum(paths[0])})
        return paths[0]


def _check_truth(row: Row, target: Mapping[str, Any]) -> None:
    """Check that an answer that states its truth is to the question of its id."""
    stated = row.fields.get("truth", target["truth"])
    if stated != target["truth"]:
        raise UserError(
            f"{row.where}: states that {shown(stated)} is true; the annotations of id "
            f"{target['id']} have {shown(target['truth'])}"
        )


def _group(target: Mapping[str, Any]) -> str:
    kind = str(target["type"])
    return kind if kind == "generative" else amber.DIMENSIONS[kind]
