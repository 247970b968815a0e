"""HallusionBench: questions about figures, their edited versions, and no figure at all."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from halluc.benchmarks._judged import JudgedBenchmark
from halluc.data import hub
from halluc.data.image_folder import ImageFolder
from halluc.data.pairing import unique
from halluc.data.pinned_files import checksum, verify
from halluc.data.records import Row, rows
from halluc.data.sample_selection import first_images
from halluc.errors import UserError
from halluc.plain_text import printable
from halluc.scoring.answer_files import answer_of
from halluc.scoring.base import benchmark
from halluc.scoring.card import BenchmarkCard, Metric
from halluc.scoring.hallusionbench import metric as hallusion
from halluc.types import Answer, Reading, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from halluc.scoring.answer_files import AnswerFiles
    from halluc.scoring.base import Totals

KEY = ("category", "subcategory", "set_id", "figure_id", "question_id")
FIELDS = (*KEY, "visual_input", "question", "gt_answer", "gt_answer_details")
REVISION = "cd417161857aefb23d878d42cf1bb53aa9dd646f"
QUESTIONS, WITH_FIGURE = 1129, 951
CODES = {"category": ("VD", "VS"), "visual_input": ("0", "1", "2"), "gt_answer": ("0", "1")}
VERDICTS = {"verdict": ("gpt4v_output_gpt_check", ("0", "1", "2")), "same": ("same", ("0", "1"))}
"""A judge's verdicts in an answers file: our name, and the authors' name with its codes."""
BIAS = ("Yes/No Bias (Pct Diff)", "Yes/No Bias (FP Ratio)")
METRICS = (
    *(Metric(name, headline=True) for name in ("qAcc", "fAcc", "aAcc")),
    *(Metric(name) for name in ("easy aAcc", "hard aAcc")),
    *(Metric(name, higher_is_better=None) for name in BIAS),
    Metric("Consistency Test (correct)"),
    *(
        Metric(name, higher_is_better=None)
        for name in ("Consistency Test (inconsistent)", "Consistency Test (wrong)")
    ),
    *(Metric(name, higher_is_better=None) for name in ("LH", "VI", "Mixed")),
)


@benchmark("hallusionbench")
class HallusionBench(JudgedBenchmark):
    """951 questions about 346 figures; an answers file may hold the 178 without a figure too.

    `rules` reads yes and no as words, does not need a judge, and is a metric of its own. `official`
    asks a judge, as the authors ask GPT-4, or takes the verdicts of an answers file.

    Args:
        folder: HallusionBench.json and the figures, `<category>/<subcategory>/<set>_<figure>.png`;
            None reads the hub.
    """

    protocols = ("rules", "official")
    dataset = hub.Dataset(
        "lmms-lab/HallusionBench", {"image": "data/image-*.parquet"}, FIELDS, REVISION
    )
    card = BenchmarkCard(
        title="HallusionBench",
        paper="https://arxiv.org/abs/2310.14566",
        licence="BSD-3-Clause",
        task="yes_no",
        metrics=METRICS,
        citation="Guan et al., HallusionBench, CVPR 2024",
        dataset="lmms-lab/HallusionBench",
        revision=REVISION,
    )

    def samples(self, limit: int | None = None) -> Iterator[Sample]:
        """Return the questions about each of the first `limit` figures.

        Raises:
            UserError: If files or figures are missing, or have changed since they were first used.
        """
        return first_images(self._asked(), limit)

    def _asked(self) -> Iterator[Sample]:
        for record, load_image in self._hub() if self.folder is None else self._files(self.folder):
            yield Sample(
                id="/".join(record[name] for name in KEY),
                image_id="/".join(record[name] for name in KEY[:4]),
                prompt=record["question"],
                load_image=load_image,
                target=record,
                group=record["category"],
                max_new_tokens=128,
            )

    def _files(self, folder: Path) -> Iterator[tuple[dict[str, str], Any]]:
        path = folder / "HallusionBench.json"
        images = ImageFolder(folder)
        questions = [row for row in rows(path) if _record(row)["visual_input"] != "0"]
        unique([(row.where, _id(row)) for row in questions])
        for row in questions:
            record = _record(row)
            name = "{category}/{subcategory}/{set_id}_{figure_id}.png".format(**record)
            images.find(name, row.where)
            yield record, partial(images.open, name, row.where)
        verify(self.name, {path.name: checksum(path)})

    def _hub(self) -> Iterator[tuple[dict[str, str], Any]]:
        table = self.dataset.load("image")
        for number, row in enumerate(table.rows):
            where = f"{self.dataset.repo} row {number}"
            yield _record(Row(where, row)), partial(table.image, number)

    def read_answers(self, files: AnswerFiles) -> list[Answer]:
        """Read the authors' list of records with "model_prediction" in each.

        All questions must be answered, or all that have a figure.

        Args:
            files: With `labels`, the questions asked, as in HallusionBench.json.

        Raises:
            UserError: If a question is unknown, answered twice, missing or has another truth.
        """
        records = files.rows()
        unique([(row.where, _id(row)) for row in records])
        answers = [_answer(row) for row in records]
        figures = all(answer.target["visual_input"] != "0" for answer in answers)
        if files.labels is not None:
            path = files.require("labels", "")
            _compare(answers, records, path, figures)
        elif len(records) != (WITH_FIGURE if figures else QUESTIONS):
            raise UserError(
                f"{records[-1].where}: is answer {len(records)} of {QUESTIONS}, or of "
                f"{WITH_FIGURE} with a figure; name other questions by --labels"
            )
        return answers

    def cluster(self, answer: Answer) -> str:
        """Return the set, because pairs of questions span its figures."""
        return "/".join(answer.target[name] for name in KEY[:3])

    def predict(self, answer: Answer) -> Any:
        """Return "yes" or "no" by `rules`, a judge's verdict by `official`; None if unclear."""
        if self.protocol == "rules":
            return hallusion.said(answer.text)
        if "verdict" in answer.target:
            return int(answer.target["verdict"])
        return hallusion.verdict(
            self.ask(hallusion.CORRECT.format(**answer.target, answer=answer.text))
        )

    def label(self, answer: Answer) -> str | None:
        """Return the right answer."""
        return "yes" if answer.target["gt_answer"] == "1" else "no"

    def tally(self, readings: Sequence[Reading]) -> dict[str, float]:
        """Count questions, pairs and figures of a set."""
        first = {a.target["question_id"]: a for a in readings if a.target["figure_id"] == "0"}
        return hallusion.tally(
            [
                replace(
                    self._judged(reading),
                    same=self._same(reading, first.get(reading.target["question_id"], reading)),
                )
                for reading in readings
            ]
        )

    def right(self, reading: Reading) -> bool:
        """Return whether the question counts as right in aAcc."""
        return self._judged(reading).correct

    def _judged(self, reading: Reading) -> hallusion.Judged:
        target = reading.target
        return hallusion.Judged(
            set=self.cluster(reading.answer),
            category=target["category"],
            figure=target["figure_id"],
            question=target["question_id"],
            visual=target["visual_input"],
            truth=target["gt_answer"],
            verdict=self._verdict(reading),
        )

    def _verdict(self, reading: Reading) -> int:
        if self.protocol == "rules":
            return hallusion.read(reading.text, reading.target["gt_answer"])
        return hallusion.UNCLEAR if reading.prediction is None else int(reading.prediction)

    def _same(self, reading: Reading, original: Reading) -> bool:
        if self.protocol == "rules":
            return bool(reading.prediction == original.prediction)
        if reading is original or "same" in reading.target:
            return str(reading.target.get("same", "1")) == "1"
        reply = self.ask(hallusion.SAME.format(first=reading.text, second=original.text))
        return "same" in reply.lower()

    def metrics(self, totals: Totals) -> dict[str, NDArray[np.float64]]:
        """Return the leaderboard's columns."""
        return hallusion.metrics(totals)

    def as_printed(self, totals: Mapping[str, float]) -> dict[str, float]:
        """Return what evaluation.py prints: percentages to four places, biases unrounded."""
        rounded = {name: round(value, 4) for name, value in super().as_printed(totals).items()}
        questions, errors = totals["questions"], totals["errors"]
        bias = totals["said yes"] / questions - totals["yes"] / questions
        ratio = totals["errors on no"] / errors if errors else float("nan")
        return {**rounded, BIAS[0]: bias, BIAS[1]: ratio}


def _record(row: Row) -> dict[str, str]:
    record = {name: str(row.id(name)) for name in FIELDS}
    for name, codes in CODES.items():
        if record[name] not in codes:
            raise UserError(
                f"{row.where}: {name} {record[name]!r} is not one of {', '.join(codes)}"
            )
    return record


def _answer(row: Row) -> Answer:
    target = _record(row)
    for name, (source, codes) in VERDICTS.items():
        if source in row.fields:
            target[name] = str(row[source])
            if target[name] not in codes:
                raise UserError(
                    f"{row.where}: {source} {target[name]!r} is not one of {', '.join(codes)}"
                )
    id = "/".join(target[name] for name in KEY)
    figure = "/".join(target[name] for name in KEY[:4])
    text = answer_of(row, "model_prediction")
    return Answer(id, figure, target["category"], target["question"], target, text=text)


def _id(row: Row) -> str:
    return "/".join(str(row.id(name)) for name in KEY)


def _compare(answers: Sequence[Answer], records: Sequence[Row], path: Path, figures: bool) -> None:
    questions = rows(path)
    unique([(row.where, _id(row)) for row in questions])
    truth = {_id(row): row for row in questions if not figures or str(row["visual_input"]) != "0"}
    for answer, row in zip(answers, records, strict=True):
        if answer.id not in truth:
            raise UserError(f"{row.where}: question {printable(answer.id)} is not in {path}")
        if str(truth[answer.id]["gt_answer"]) != answer.target["gt_answer"]:
            id = printable(answer.id)
            raise UserError(f"{row.where}: question {id} has another gt_answer than {path}")
    answered = {answer.id for answer in answers}
    missing = [id for id in truth if id not in answered]
    if missing:
        raise UserError(
            f"{len(answers)} answers to {len(truth)} questions: {printable(missing[0])} "
            f"({truth[missing[0]].where}) has none; is the file truncated?"
        )
