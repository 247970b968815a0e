"""POPE on photographs: questions from the authors' files or from the hub."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from halluc.benchmarks._yes_no import YesNoBenchmark
from halluc.data import hub
from halluc.data.image_folder import ImageFolder
from halluc.data.pinned_files import checksum, verify
from halluc.data.records import Row
from halluc.data.sample_selection import first_images
from halluc.errors import UserError
from halluc.scoring.confusion_rates import COUNTS, as_printed
from halluc.scoring.pope import answer_files as pope_files
from halluc.scoring.pope.label_sources import read_label_files
from halluc.scoring.pope.questions import STRATEGIES
from halluc.scoring.pope.relabelling import refuse_altered, relabel
from halluc.types import Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from PIL.Image import Image

    from halluc.scoring.answer_files import AnswerFiles
    from halluc.types import Answer

LLAVA = "\nAnswer the question using a single word or phrase."
PROMPTS = {
    "official": "",
    "llava": LLAVA,
    "vcd": " Please answer this question with one word.",
    "lmms-eval": LLAVA,
}
TOKENS, CHAT_TOKENS = 16, 512
SOURCES = ("coco", "aokvqa", "gqa")


class PopeBenchmark(YesNoBenchmark):
    """POPE: three strategies, 500 images, six questions each.

    Args:
        protocol: The published scorer that reads the answers.
        prompt: The wording that is appended to each question.
        folder: The authors' question files `<stem>_<strategy>.json`, and the images at any depth;
            None reads the hub.
        chat: Ask a strategy's questions about an image as the turns of one conversation, as PAI
            does; files may then be PAI's, `<stem>_chat_<strategy>.json`.
    """

    stem: ClassVar[str]
    dataset: ClassVar[hub.Dataset | None] = None
    groups: tuple[str, ...] = STRATEGIES
    prompts = PROMPTS

    def __init__(
        self,
        protocol: str | None = None,
        prompt: str = "official",
        folder: Path | None = None,
        chat: bool = False,
    ) -> None:
        super().__init__(protocol, prompt, folder)
        self.chat = chat

    @property
    def files_needed(self) -> str:
        """What the folder has to hold, in words."""
        return (
            f"{self.stem}_random.json, {self.stem}_popular.json, {self.stem}_adversarial.json and "
            "the images"
            if self.dataset is None
            else ""
        )

    def samples(self, limit: int | None = None) -> Iterator[Sample]:
        """Return the 18 questions of each of the first `limit` images.

        Raises:
            UserError: If files or images are missing, or have changed since they were first used.
        """
        return first_images(self._questions(), limit)

    def _questions(self) -> Iterator[Sample]:
        previous: dict[tuple[str, str], str] = {}
        source = self._hub() if self.folder is None else self._files(self.folder)
        for row, strategy, load_image in source:
            id, conversation = f"{strategy}/{row['question_id']}", (strategy, row["image"])
            yield Sample(
                id=id,
                image_id=row["image"],
                prompt=row["text"] + self.prompts[self.prompt],
                load_image=load_image,
                target=pope_files.label_of(row),
                group=strategy,
                max_new_tokens=CHAT_TOKENS if self.chat else TOKENS,
                follows=previous.get(conversation) if self.chat else None,
            )
            previous[conversation] = id

    def _files(self, folder: Path) -> Iterator[tuple[Row, str, Callable[[], Image]]]:
        images = ImageFolder(folder)
        checksums = {}
        questions = []
        for strategy in self.groups:
            path = folder / f"{self.stem}_{strategy}.json"
            conversations = folder / f"{self.stem}_chat_{strategy}.json"
            if self.chat and conversations.is_file():
                path = conversations
            for row in pope_files.read_questions(path):
                questions.append((row, strategy, partial(images.open, row["image"], row.where)))
                images.find(row["image"], row.where)
            checksums[path.name] = checksum(path)
        verify(self.name, checksums)
        yield from questions

    def _hub(self) -> Iterator[tuple[Row, str, Callable[[], Image]]]:
        if self.dataset is None:
            raise self.folder_missing()
        for strategy in self.groups:
            table = self.dataset.load(strategy)
            for number, row in enumerate(table.rows):
                fields = {
                    "question_id": int(row["question_id"]),
                    "image": row["image_source"],
                    "text": row["question"],
                    "label": row["answer"],
                }
                where = f"{self.dataset.repo} {strategy} row {number}"
                yield Row(where, fields), strategy, partial(table.image, number)

    def read_answers(self, files: AnswerFiles) -> list[Answer]:
        """Read POPE's answer lines, with `--labels` a question file, or one for each split.

        A folder stands for the files in it that are named after the splits.
        """
        labels = read_label_files(files.all_labels, self.stem)
        for path in (label.path for label in labels):
            refuse_altered(path)
            source = path.name.partition("_")[0]
            if source in SOURCES and not self.stem.startswith(source):
                raise UserError(f"{path}: is not named after {self.stem}; another POPE's labels?")
        answers = pope_files.read_answers(files, labels, self.notes)
        self.groups = tuple(dict.fromkeys(answer.group for answer in answers))
        return answers

    def relabelled(self, answers: Sequence[Answer], labels: Mapping[str, Path]) -> list[Answer]:
        """Return a run's answers with other labels, such as RePOPE's, and score only their splits.

        Args:
            labels: A split's name to its label file.

        Raises:
            UserError: If a file does not belong to the run; see `relabel`.
        """
        self.narrow(labels)
        return [a for group in self.groups for a in relabel(answers, group, labels[group])]

    def narrow(self, splits: Collection[str]) -> None:
        """Score only some of the splits."""
        self.groups = tuple(group for group in self.groups if group in splits)

    def as_printed(self, totals: Mapping[str, float]) -> dict[str, Any]:
        """Return what POPE's evaluate.py prints; of several splits by split, and their mean F1."""
        undefined = self.protocol_rule.zero_division
        splits: dict[str, Any] = {}
        for group in self.groups:
            printed = as_printed({name: totals[f"{group}/{name}"] for name in COUNTS})
            splits[group] = {name: undefined if v != v else v for name, v in printed.items()}
        if len(splits) == 1:
            return dict(*splits.values())
        mean = sum(split["F1 score"] for split in splits.values()) / len(splits)
        return {**splits, "mean F1 score": mean}
