"""The base of MME and of its drawn counterpart, and MME on photographs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from halluc.data import hub
from halluc.data.image_folder import ImageFolder
from halluc.data.pinned_files import verify
from halluc.data.sample_selection import first_images
from halluc.scoring import yes_no
from halluc.scoring.base import Benchmark
from halluc.scoring.card import Metric
from halluc.scoring.mme import answer_files as mme_files
from halluc.scoring.mme import metric as mme
from halluc.scoring.mme.llava_answers import is_json, json_answers
from halluc.types import Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from halluc.scoring.answer_files import AnswerFiles
    from halluc.scoring.base import Totals
    from halluc.types import Answer, Reading

    Question = tuple[str, str, str, str, Callable[[], Image]]

REPO = "lmms-lab/MME"
REVISION = "d6c9023f017b564f7b3ccccf5348166bce8fdbcd"
SUFFIX = " Please answer yes or no."
PROMPTS = {"official": SUFFIX, "lmms-eval": "\nAnswer the question using a single word or phrase."}


def score_metrics(
    subtasks: Sequence[str], totals: Sequence[str] = ("total",)
) -> tuple[Metric, ...]:
    """Describe score, accuracy and accuracy+ of every subtask, and their totals."""
    parts = [
        metric
        for subtask in subtasks
        for metric in (
            Metric(f"{subtask}/score", headline=len(subtasks) < 5),
            Metric(f"{subtask}/accuracy", scale=100),
            Metric(f"{subtask}/accuracy_plus", scale=100),
        )
    ]
    return (*parts, *(Metric(name, headline=True) for name in totals))


class MmeBenchmark(Benchmark):
    """Pairs of yes/no questions about an image, in subtasks whose scores are out of 200 each.

    Subclasses define `card`, `subtasks` and `samples`. Samples of a pair have consecutive ids.
    """

    subtasks: tuple[str, ...]
    protocols = tuple(yes_no.MME)

    def predict(self, answer: Answer) -> yes_no.Verdict | None:
        """Return "yes" or "no", as the protocol reads it; None, which is wrong, if neither."""
        return yes_no.MME[self.protocol].parse(answer.text)

    def tally(self, readings: Sequence[Reading]) -> dict[str, float]:
        """Count right answers and pairs with both right."""
        return mme.tally(readings)

    def metrics(self, totals: Totals) -> dict[str, NDArray[np.float64]]:
        """Return the scores of every subtask, and their total."""
        return mme.scores(totals, self.subtasks)


class MmePhotographs(MmeBenchmark):
    """MME's own subtasks, from the hub or from the authors' release in a folder."""

    prompts = PROMPTS
    sums: ClassVar[Mapping[str, tuple[str, ...]]]
    dataset = hub.Dataset(
        repo=REPO,
        files={"test": "data/test-*.parquet"},
        columns=("question_id", "question", "answer", "category"),
        revision=REVISION,
    )

    def samples(self, limit: int | None = None) -> Iterator[Sample]:
        """Return two questions a subtask of each of the first `limit` images.

        Raises:
            UserError: If files or images are missing, or have changed since they were first used.
        """
        return first_images(self._asked(), limit)

    def _asked(self) -> Iterator[Sample]:
        source = self._hub() if self.folder is None else self._files(self.folder)
        for number, (subtask, image, question, truth, load_image) in enumerate(source):
            yield Sample(
                id=f"{subtask}/{number:04d}",
                image_id=image,
                prompt=question.removesuffix(SUFFIX).rstrip() + self.prompts[self.prompt],
                load_image=load_image,
                target=truth,
                group=subtask,
            )

    def _files(self, folder: Path) -> Iterator[Question]:
        import hashlib

        for subtask in self.subtasks:
            images = ImageFolder(folder / subtask)
            questions = mme_files.read_questions(folder, subtask)
            listed = repr([tuple(question) for question in questions])
            verify("mme", {subtask: hashlib.sha256(listed.encode()).hexdigest()})
            names = images.stems()
            for stem, question, truth in questions:
                name = names.get(stem, f"{stem}.jpg")
                path = images.find(name, f"{folder / subtask}, {stem}.txt")
                image = f"{subtask}/{path.name}"
                yield subtask, image, question, truth, partial(images.open, path.name)

    def _hub(self) -> Iterator[Question]:
        table = self.dataset.load("test")
        for number, row in enumerate(table.rows):
            if row["category"] in self.subtasks:
                truth = str(row["answer"]).strip().lower()
                image = str(row["question_id"])
                yield row["category"], image, row["question"], truth, partial(table.image, number)

    def read_answers(self, files: AnswerFiles) -> list[Answer]:
        """Read the folder of `<subtask>.txt` that MME's calculation.py scores, or LLaVA's lines."""
        in_json = files.records or is_json(files.answers)
        read = json_answers if in_json else mme_files.read_answers
        answers = [a for a in read(files) if a.group in self.subtasks]
        present = {answer.group for answer in answers}
        missing = [subtask for subtask in self.subtasks if subtask not in present]
        self.subtasks = tuple(subtask for subtask in self.subtasks if subtask in present)
        if missing:
            self.notes.append(f"no answers to {', '.join(missing)}: sums with them are undefined")
        return answers

    def metrics(self, totals: Totals) -> dict[str, NDArray[np.float64]]:
        """Return the scores of every subtask, and the sums of `sums`."""
        import numpy as np

        values = mme.scores(totals, self.subtasks)
        undefined = np.full_like(values.pop("total"), np.nan)
        for name, subtasks in self.sums.items():
            parts = [values.get(f"{subtask}/score", undefined) for subtask in subtasks]
            values[name] = np.sum(parts, axis=0)
        return values

    def as_printed(self, totals: Mapping[str, float]) -> dict[str, Any]:
        """Return what MME's calculation.py prints: every subtask, and the sums."""
        parts = {subtask: mme.as_printed(totals, subtask) for subtask in self.subtasks}
        nothing = {"score": float("nan")}
        sums = {
            name: sum(parts.get(subtask, nothing)["score"] for subtask in subtasks)
            for name, subtasks in self.sums.items()
        }
        return {**sums, **parts}
