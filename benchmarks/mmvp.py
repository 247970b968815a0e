"""MMVP: pairs of images that CLIP cannot tell apart, one question about both."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from halluc.benchmarks._judged import JudgedBenchmark
from halluc.data import hub
from halluc.data.image_folder import ImageFolder
from halluc.data.pairing import align
from halluc.data.pinned_files import checksum, verify
from halluc.data.records import table
from halluc.errors import UserError
from halluc.scoring.answer_files import answer_of
from halluc.scoring.base import benchmark
from halluc.scoring.card import BenchmarkCard, Metric
from halluc.scoring.choice import read_option
from halluc.scoring.confusion_rates import ratio
from halluc.types import Answer, Reading, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from halluc.data.records import Row
    from halluc.scoring.answer_files import AnswerFiles
    from halluc.scoring.base import Totals

REPO = "MMVP/MMVP"
REVISION = "37eafecab8a3940c50c2ade5b36de69dbc99a8cf"
FILE = "Questions.csv"
IMAGES = "MMVP Images"
COLUMNS = ("Question", "Options", "Correct Answer")
CHOICES = re.compile(r"\(a\)\s*(.+?)\s*\(b\)\s*(.+?)\s*$", re.IGNORECASE | re.DOTALL)
LMMS_EVAL = (
    r"^\(?([ab])\)?(?:[.\s]|$)",
    r"answer\s+is\s+\(?([ab])",
    r"option\s+\(?([ab])",
    r"([ab])\)?(?:\s|$)",
    r"^([ab])",
)
"""Where lmms-eval looks for a letter, one after another: at the start, after "answer is" and
"option", before a space or the end, and as the first character."""
MISLABELLED = (99, 100, 279, 280)
"""Rows, counted from 1, whose labels lmms-eval corrects."""
ASK = (
    "Does the response give the correct answer to the question? Reply yes or no.\n\n"
    "Question: {question}\nCorrect answer: {answer}\nResponse: {response}\nReply:"
)


@benchmark("mmvp")
class Mmvp(JudgedBenchmark):
    """300 questions in 150 pairs; a pair counts where both answers are right.

    `rules` reads the option's letter or its words (`read_option`); `lmms-eval` takes the first
    letter that its patterns find (lmms_eval/tasks/mmvp/utils.py), with four labels corrected;
    `official` asks a judge, as the authors ask GPT-4.

    Args:
        folder: Questions.csv and "MMVP Images" with 1.jpg to 300.jpg; None reads the hub.
    """

    protocols = ("rules", "lmms-eval", "official")
    card = BenchmarkCard(
        title="MMVP",
        paper="https://arxiv.org/abs/2401.06209",
        licence="MIT",
        task="open",
        metrics=(
            Metric("pair_accuracy", headline=True, scale=100),
            Metric("accuracy", scale=100),
        ),
        citation="Tong et al., Eyes Wide Shut? Exploring the Visual Shortcomings of Multimodal "
        "LLMs, CVPR 2024",
        dataset=REPO,
        revision=REVISION,
    )

    def samples(self, limit: int | None = None) -> Iterator[Sample]:
        """Yield one question an image; a limit that would split a pair is raised by one.

        Raises:
            UserError: If files or images are missing, or have changed since they were first used.
        """
        folder = self.folder
        if folder is None:
            folder = hub.fetch_folder(REPO, (FILE, f"{IMAGES}/*.jpg"), REVISION)
        else:
            verify("mmvp", {FILE: checksum(folder / FILE)})
        questions, images = table(folder / FILE, COLUMNS), ImageFolder(folder)
        for number, row in enumerate(questions[: None if limit is None else limit + limit % 2], 1):
            name = f"{IMAGES}/{number}.jpg"
            images.find(name, row.where)
            yield Sample(
                id=f"{number:03d}",
                image_id=f"{number}.jpg",
                prompt=f"{row['Question']} {_options(row, 'Options')}",
                load_image=partial(images.open, name),
                target={"options": row["Options"], "answer": _letter(row, "Correct Answer")},
                max_new_tokens=64,
            )

    def read_answers(self, files: AnswerFiles) -> list[Answer]:
        """Read JSON lines of question_id, prompt, answer and response.

        Raises:
            UserError: If a question is missing, out of order or answered twice.
        """
        records = files.rows()
        align(
            [(row.where, row.number("question_id")) for row in records],
            [("MMVP", number) for number in range(1, 301)],
        )
        return [
            Answer(
                id=f"{number:03d}",
                image_id=f"{number}.jpg",
                group="all",
                prompt=row.text("prompt"),
                target={"options": _options(row, "prompt"), "answer": _letter(row, "answer")},
                text=answer_of(row, "response", but=("answer",)),
            )
            for number, row in enumerate(records, 1)
        ]

    def cluster(self, answer: Answer) -> str:
        """Return the pair of images."""
        return f"{(int(answer.id) - 1) // 2:03d}"

    def predict(self, answer: Answer) -> str | None:
        """Return the option, "(a)" or "(b)"; under `official` the judge's "yes" or "no"."""
        if self.protocol == "lmms-eval":
            return first_letter(answer.text)
        if self.protocol == "rules":
            return option(answer.text, answer.target["options"])
        truth, question = answer.target["answer"], answer.prompt
        reply = self.ask(ASK.format(question=question, answer=truth, response=answer.text))
        words = re.findall(r"\b(yes|no)\b", reply.lower())
        return words[0] if words else None

    def tally(self, readings: Sequence[Reading]) -> dict[str, float]:
        """Count right answers, and the pair if both have an answer."""
        right = [self.right(reading) for reading in readings]
        pair = {"pairs": 1.0, "both": float(all(right))} if len(right) == 2 else {}
        return {"n": float(len(right)), "right": float(sum(right)), **pair}

    def right(self, reading: Reading) -> bool:
        """Return whether the question counts as right."""
        if self.protocol == "official":
            return bool(reading.prediction == "yes")
        truth = str(reading.target["answer"])
        if self.protocol == "lmms-eval" and int(reading.id) in MISLABELLED:
            truth = {"(a)": "(b)", "(b)": "(a)"}[truth]
        return bool(reading.prediction == truth)

    def metrics(self, totals: Totals) -> dict[str, NDArray[np.float64]]:
        """Return the accuracy of pairs, which is the benchmark's metric, and of questions."""
        return {
            "pair_accuracy": ratio(totals["both"], totals["pairs"]),
            "accuracy": ratio(totals["right"], totals["n"]),
        }


def _letter(row: Row, name: str) -> str:
    letter = row.text(name).strip().lower()
    if letter not in {"(a)", "(b)"}:
        raise UserError(f"{row.where}: {name} {letter!r} is neither (a) nor (b)")
    return letter


def _options(row: Row, name: str) -> str:
    if not CHOICES.search(text := row.text(name)):
        raise UserError(f"{row.where}: {name} {text!r} does not end in '(a) ... (b) ...'")
    return text


def option(text: str, options: str) -> str | None:
    """Return the option that an answer names by letter or words; None if both or neither.

    Args:
        options: A text that ends as in "(a) Open (b) Closed".
    """
    choices = CHOICES.search(options)
    if choices is None:
        return None
    letter = read_option(text, {"A": choices[1], "B": choices[2]})
    return letter and f"({letter.lower()})"


def first_letter(text: str) -> str | None:
    """Return the option whose letter lmms-eval reads; None if there is none.

    An "a" or "b" that ends a word counts as one that stands alone, and so does the article.
    """
    text = text.strip().lower()
    for pattern in LMMS_EVAL:
        if found := re.search(pattern, text):
            return f"({found[1]})"
    return None
