"""What Reefknot's three tasks share: its files, its two kinds of relation, hallucination rates."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from halluc.data.image_folder import ImageFolder
from halluc.data.pinned_files import checksum, verify
from halluc.data.records import Row, rows
from halluc.data.sample_selection import first_images
from halluc.errors import UserError
from halluc.scoring.answer_files import note_count
from halluc.scoring.base import Benchmark
from halluc.scoring.card import BenchmarkCard, Metric
from halluc.types import Answer, Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import Literal

    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from halluc.scoring.answer_files import AnswerFiles

    Task = Literal["yes_no", "choice", "open"]

REVISION = "310ec0c468f7763440ca4ffb53f1fe00d9a3deb7"
RELATIONS = ("perception", "cognitive")


def card(what: str, task: Task, images: int, questions: int, *more: Metric) -> BenchmarkCard:
    """Describe one of the three tasks.

    Args:
        more: Metrics besides the hallucination rates.
    """
    rates = ("halr", *(f"{relation}/halr" for relation in RELATIONS))
    return BenchmarkCard(
        title=f"Reefknot, {what}",
        paper="https://arxiv.org/abs/2408.09429",
        licence="none stated (MM-Hallu's copy says MIT); images of Visual Genome",
        task=task,
        metrics=(
            *(Metric(n, higher_is_better=False, headline=True, scale=100) for n in rates),
            *more,
        ),
        citation="Zheng et al., Reefknot: A Comprehensive Benchmark for Relation Hallucination "
        "Evaluation, Analysis and Mitigation in Multimodal Large Language Models, ACL Findings "
        "2025",
        dataset="github.com/JackChen-seu/Reefknot",
        revision=REVISION,
        size=(images, questions),
    )


class Reefknot(Benchmark):
    """Questions about relations; a hallucination rate is the share of answers that are wrong.

    Args:
        folder: The task's file of the repository's Dataset folder, and Visual Genome's images
            `<image_id>.jpg`, each at any depth.

    Attributes:
        file: The task's file.
        asked_again: How many of its lines ask what another line asks.
    """

    file: ClassVar[str]
    asked_again: ClassVar[int] = 0

    @property
    def files_needed(self) -> str:
        """What the folder has to hold, in words."""
        return f"{self.file} of {self.card.dataset} and Visual Genome's VG_100K and VG_100K_2"

    def samples(self, limit: int | None = None) -> Iterator[Sample]:
        """Return all questions about each of the first `limit` images.

        Raises:
            UserError: If the file or an image is missing, or has changed since the first use.
        """
        return first_images(self._asked(self.given()), limit)

    def _asked(self, folder: Path) -> Iterator[Sample]:
        images = ImageFolder(folder)
        path = next(iter(sorted(folder.rglob(self.file))), folder / self.file)
        verify("reefknot", {path.name: checksum(path)})
        for number, row in enumerate(rows(path), 1):
            image = f"{row.id('image_id')}.jpg"
            images.find(image, row.where)
            load_image = partial(images.open, image, row.where)
            yield from self.asked_of(f"{number:05d}", image, row, load_image)

    def asked_of(
        self, id: str, image: str, row: Row, load_image: Callable[[], Image]
    ) -> Iterator[Sample]:
        """Yield what is asked about a row."""
        yield Sample(
            id=id,
            image_id=image,
            prompt=row.text("query_prompt"),
            load_image=load_image,
            target=self.target_of(row),
            group=relation_type(row),
            max_new_tokens=32,
        )

    def target_of(self, row: Row) -> Any:
        """Return what an answer is compared with."""
        raise NotImplementedError

    def read_answers(self, files: AnswerFiles) -> list[Answer]:
        """Read the authors' lines: image_id, query_prompt, label, response and relation_type.

        Their script leaves out the type; then `--labels` is the file of questions, whose lines are
        in the same order.

        Raises:
            UserError: If a line is wrong, or answers another question than the label's, or more
                lines ask what others ask than in the published file.
        """
        answers = rows(files.answers)
        asked = rows(files.require("labels", "")) if files.labels else answers
        if len(asked) != len(answers):
            raise UserError(
                f"{files.answers}: has {len(answers)} answers to {len(asked)} questions"
            )
        self._check_count(asked)
        read = []
        for number, (row, question) in enumerate(zip(answers, asked, strict=True), 1):
            for name in ("image_id", "query_prompt"):
                if row[name] != question[name]:
                    raise UserError(f"{row.where}: its {name} is not that of {question.where}")
            read.append(
                Answer(
                    id=f"{number:05d}",
                    image_id=f"{row.id('image_id')}.jpg",
                    group=relation_type(question),
                    prompt=row.text("query_prompt"),
                    target=self.target_of(question),
                    text=row.text("response"),
                )
            )
        return read

    def _check_count(self, asked: Sequence[Row]) -> None:
        """Refuse questions asked once more than in the published file, and note other numbers."""
        first: dict[tuple[Any, str], Row] = {}
        again = 0
        for row in asked:
            question = row.id("image_id"), row.text("query_prompt")
            again += question in first
            if again > self.asked_again:
                raise UserError(
                    f"{row.where}: asks again what {first[question].where} asks; is the file "
                    "doubled?"
                )
            first.setdefault(question, row)
        self.notes += note_count(len(asked), self.card.size)


def relation_type(row: Row) -> str:
    """Return the kind of relation a row asks about.

    Raises:
        UserError: If it is neither of the two.
    """
    kind = row.text("relation_type")
    if kind not in RELATIONS:
        raise UserError(f"{row.where}: relation_type {kind!r} is neither {' nor '.join(RELATIONS)}")
    return kind


def halr(accuracies: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """Turn "accuracy" and "relation/accuracy" into hallucination rates."""
    names = ("", *(f"{relation}/" for relation in RELATIONS))
    return {f"{name}halr": 1 - accuracies[f"{name}accuracy"] for name in names}
