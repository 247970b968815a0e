"""HALLUCINOGEN: is an object there, asked outright or in passing ("where is the dog?")."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from halluc.benchmarks._yes_no import YesNoBenchmark, rate_metrics
from halluc.data.image_folder import ImageFolder
from halluc.data.pairing import unique
from halluc.data.pinned_files import checksum, verify
from halluc.data.records import Row, rows
from halluc.data.sample_selection import first_images
from halluc.errors import UserError
from halluc.scoring.answer_files import note_count
from halluc.scoring.base import benchmark
from halluc.scoring.card import BenchmarkCard
from halluc.scoring.pope.answer_files import label_of
from halluc.scoring.yes_no import ReadingRule, Verdict, parse_pope
from halluc.types import Answer, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from halluc.scoring.answer_files import AnswerFiles

SPLITS = {"random": "rand", "popular": "pop", "adversarial": "adv"}
QUERIES = 5
REVISION = "cfce4108bd023dd65b118ff4daa609093a9fea97"
CONCISE = " Provide a concise answer"


def denies(text: str) -> Verdict:
    """Return "no" where POPE's evaluate.py reads no, else "yes": who describes it affirms it."""
    return "no" if parse_pope(text) == "no" else "yes"


RULES = {"pope": ReadingRule(denies, "yes", "RUCAIBox/POPE evaluate.py; the authors publish none")}


class Hallucinogen(YesNoBenchmark):
    """Five prompts about each of POPE's 9000 pairs of COCO image and object, in three splits.

    The authors publish no scorer; answers are read by POPE's, as other users of the data do. All
    tasks but the first ask about the object as if it were there, so an answer that does not deny it
    counts as yes. `official` is the data's wording; `concise` is what the authors' script for
    LLaVA-1.5 appends to visual context and counterfactual prompts.

    Args:
        folder: hallucinogen/data of the repository, `<task>_POPE_<rand, pop, adv>.json` at any
            depth, and COCO's val2014 images.
    """

    task: ClassVar[str]
    groups = tuple(SPLITS)
    protocol_rules = RULES
    protocols = tuple(RULES)
    prompts: ClassVar[Mapping[str, str]] = {"official": "", "concise": CONCISE}

    @property
    def files_needed(self) -> str:
        """What the folder has to hold, in words."""
        return (
            f"{self.file('random')}, {self.file('popular')} and {self.file('adversarial')} of "
            f"{self.card.dataset}, and COCO's val2014 images"
        )

    def samples(self, limit: int | None = None) -> Iterator[Sample]:
        """Return the 90 prompts about each of the first `limit` images.

        Raises:
            UserError: If files or images are missing, or have changed since they were first used,
                or a question's id is there twice.
        """
        return first_images(self._asked(self.given()), limit)

    def file(self, split: str) -> str:
        """Return the name of a split's file."""
        return f"{self.task}_POPE_{SPLITS[split]}.json"

    def _asked(self, folder: Path) -> Iterator[Sample]:
        images = ImageFolder(folder)
        for split in self.groups:
            path = next(iter(sorted(folder.rglob(self.file(split)))), folder / self.file(split))
            verify("hallucinogen", {path.name: checksum(path)})
            questions = rows(path)
            unique([(row.where, row.id("question_id")) for row in questions])
            for row in questions:
                image = row.text("image")
                images.find(image, row.where)
                for number in range(1, QUERIES + 1):
                    yield Sample(
                        id=f"{split}/{row.id('question_id')}/{number}",
                        image_id=image,
                        prompt=row.text(f"query_{number}") + self.prompts[self.prompt],
                        load_image=partial(images.open, image, row.where),
                        target=label_of(row),
                        group=split,
                        max_new_tokens=256,
                    )

    def read_answers(self, files: AnswerFiles) -> list[Answer]:
        """Read what the authors' scripts write: a split's rows with output_1, output_2 and so on.

        Raises:
            UserError: If the file's name says no split, a question is there twice, or a row has
                not the outputs that the others have.
        """
        split = next((s for s in SPLITS if f"_{SPLITS[s]}." in files.answers.name), None)
        if split is None:
            raise UserError(f"{files.answers}: its name does not end in _rand, _pop or _adv")
        self.groups = (split,)
        records = rows(files.answers)
        unique([(row.where, row.id("question_id")) for row in records])
        said = _said(records)
        self.notes += note_count(len(records), self.card.size, len(SPLITS) * QUERIES)
        if len(said) < QUERIES:
            self.notes.append(f"answers to {len(said)} of the {QUERIES} prompts of each pair")
        return [answer for row in records for answer in _answers(row, split, said)]

    def label(self, answer: Answer) -> str:
        """Return whether the object is there."""
        return str(answer.target)


def _said(records: Sequence[Row]) -> range:
    """Return which prompts have answers: the authors' scripts ask the first ones, of every row."""
    most = max(n for n in range(QUERIES + 1) if not n or _has(records, n))
    for row in records:
        for number in range(1, max(most, 1) + 1):
            if f"output_{number}" not in row.fields:
                raise UserError(
                    f"{row.where}: has no 'output_{number}', the answer to query_{number}"
                )
    return range(1, most + 1)


def _has(records: Sequence[Row], number: int) -> bool:
    return any(f"output_{number}" in row.fields for row in records)


def _answers(row: Row, split: str, said: range) -> Iterator[Answer]:
    for number in said:
        yield Answer(
            id=f"{split}/{row.id('question_id')}/{number}",
            image_id=row.text("image"),
            group=split,
            prompt=row.text(f"query_{number}"),
            target=label_of(row),
            text=row.text(f"output_{number}"),
        )


def card(what: str, yes_no: bool = False) -> BenchmarkCard:
    """Describe one of the four tasks; only identification asks for yes or no."""
    return BenchmarkCard(
        title=f"HALLUCINOGEN, {what}",
        paper="https://arxiv.org/abs/2412.20622",
        licence="MIT; images of COCO val2014",
        task="yes_no" if yes_no else "open",
        metrics=rate_metrics(tuple(SPLITS), headline=("accuracy", "f1", "yes_ratio")),
        citation="Seth et al., HALLUCINOGEN: A Benchmark for Evaluating Object Hallucination in "
        "Large Visual-Language Models, 2024",
        dataset="github.com/AikyamLab/hallucinogen",
        revision=REVISION,
        size=(500, 45000),
    )


@benchmark("hallucinogen_identification")
class Identification(Hallucinogen):
    """Find out if the dog is in the image."""

    task = "id"
    card = card("identification", yes_no=True)


@benchmark("hallucinogen_localization")
class Localization(Hallucinogen):
    """Describe where the dog is in the image."""

    task = "loc"
    card = card("localization")


@benchmark("hallucinogen_visual_context")
class VisualContext(Hallucinogen):
    """Analyze the neighboring elements of the dog in the image."""

    task = "vc"
    card = card("visual context")


@benchmark("hallucinogen_counterfactual")
class Counterfactual(Hallucinogen):
    """Say how the scene would change if the dog were invisible."""

    task = "cf"
    card = card("counterfactual")
