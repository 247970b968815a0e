"""Reefknot: relations between things, asked as yes/no question, multiple choice and openly."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from halluc.benchmarks._choice import ChoiceBenchmark, choice_metrics, label_among
from halluc.benchmarks._judged import JudgedBenchmark
from halluc.benchmarks._reefknot import RELATIONS, Reefknot, card, halr, relation_type
from halluc.benchmarks._yes_no import YesNoBenchmark
from halluc.errors import UserError
from halluc.scoring.base import benchmark
from halluc.scoring.card import Metric
from halluc.scoring.choice import listed
from halluc.scoring.confusion_rates import COUNTS, rates, ratio
from halluc.scoring.pope.answer_files import label_of
from halluc.scoring.yes_no import ReadingRule, parse_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from halluc.data.records import Row
    from halluc.scoring.base import Totals
    from halluc.types import Answer, Reading, Sample

CHOOSE = ", please choose."
FORMAT = re.compile(r"following format: ?(.+?) <relation> (.+?)\.$")
ARTICLES = {"a", "an", "the"}
SAME = (
    "Do the two sentences state the same relation between the same things? Reply yes or no.\n\n"
    "First: {label}\nSecond: {text}\nReply:"
)


@benchmark("reefknot_yes_no")
class ReefknotYesNo(Reefknot, YesNoBenchmark):
    """9740 yes/no questions, a true and a false relation of the same things each.

    The authors publish no reader: exactly one of the words yes and no is an answer, all else wrong.
    """

    file = "YESNO.jsonl"
    asked_again = 98
    groups = RELATIONS
    protocol_rules = {"rules": ReadingRule(parse_words, "wrong", "the authors publish none")}
    protocols = ("rules",)
    card = card(
        "yes/no",
        "yes_no",
        4592,
        9740,
        Metric("f1", scale=100),
        Metric("yes_ratio", higher_is_better=None, headline=True, scale=100),
    )

    def target_of(self, row: Row) -> str:
        """Return "yes" or "no"."""
        return label_of(row)

    def metrics(self, totals: Totals) -> dict[str, NDArray[np.float64]]:
        """Return the hallucination rates, and F1 and the yes ratio of all questions."""
        parts = {r: {name: totals[f"{r}/{name}"] for name in COUNTS} for r in RELATIONS}
        pooled = rates({name: both_relations(totals, name) for name in COUNTS})
        named = {f"{r}/accuracy": rates(part)["accuracy"] for r, part in parts.items()}
        return {
            **halr({**named, "accuracy": pooled["accuracy"]}),
            "f1": pooled["f1"],
            "yes_ratio": pooled["yes_ratio"],
        }


@benchmark("reefknot_choice")
class ReefknotChoice(Reefknot, ChoiceBenchmark):
    """6950 questions with four relations to choose from.

    The authors publish no reader; letters and words are read by `halluc.scoring.choice`.
    """

    file = "Multichoice.jsonl"
    groups = RELATIONS
    letters = "ABCD"
    marker = r" LETTER\. "
    protocols: ClassVar[tuple[str, ...]] = ("rules",)  # type: ignore[assignment]
    prompts = {"official": CHOOSE}
    card = card("multiple choice", "choice", 5695, 6950, *choice_metrics(RELATIONS))

    def asked_of(
        self, id: str, image: str, row: Row, load_image: Callable[[], Image]
    ) -> Iterator[Sample]:
        """Yield a question, or all of its rotations."""
        return self.asked_in_turns(
            id=id,
            image_id=image,
            question=row.text("query_prompt").removesuffix(CHOOSE),
            answer=label_among(row, self.letters),
            load_image=load_image,
            group=relation_type(row),
            max_new_tokens=32,
            where=row.where,
        )

    def target_of(self, row: Row) -> dict[str, Any]:
        """Return the right letter, and the options."""
        question = row.text("query_prompt").removesuffix(CHOOSE)
        options = listed(question, self.marker, self.letters).options
        return {"answer": label_among(row, options or self.letters), "options": options}

    def metrics(self, totals: Totals) -> dict[str, NDArray[np.float64]]:
        """Return the hallucination rates, and accuracies as for all multiple choice."""
        values = super().metrics(totals)
        return {**halr(values), **values}


@benchmark("reefknot_vqa")
class ReefknotVqa(Reefknot, JudgedBenchmark):
    """4870 questions to be answered as "bag is <relation> ground".

    The authors publish no scorer. `rules` compares the relation that stands between the two things
    with the labelled one, without articles; `judge` asks a model whether answer and label state the
    same relation, as synonyms do.
    """

    file = "VQA.jsonl"
    asked_again = 52
    protocols = ("rules", "judge")
    card = card("VQA", "open", 4639, 4870)

    def target_of(self, row: Row) -> dict[str, str]:
        """Return the labelled sentence, and what stands before and after the relation."""
        asked = FORMAT.search(row.text("query_prompt"))
        if asked is None:
            raise UserError(
                f"{row.where}: query_prompt does not end in 'format:... <relation> ...'"
            )
        return {"label": row.text("label"), "before": asked[1], "after": asked[2]}

    def predict(self, answer: Answer) -> str | None:
        """Return the relation that an answer states; under `judge` the judge's "yes" or "no"."""
        if self.protocol == "judge":
            reply = self.ask(SAME.format(label=answer.target["label"], text=answer.text))
            words = re.findall(r"\b(yes|no)\b", reply.lower())
            return words[0] if words else None
        return relation(answer.text, answer.target)

    def right(self, reading: Reading) -> bool:
        """Return whether the relation is the labelled one."""
        if self.protocol == "judge":
            return bool(reading.prediction == "yes")
        label = relation(reading.target["label"], reading.target)
        return label is not None and bool(reading.prediction == label)

    def tally(self, readings: Sequence[Reading]) -> dict[str, float]:
        """Count answers and right ones by the kind of relation."""
        totals: dict[str, float] = {}
        for reading in readings:
            for name, count in (("n", 1.0), ("right", float(self.right(reading)))):
                key = f"{reading.group}/{name}"
                totals[key] = totals.get(key, 0.0) + count
        return totals

    def metrics(self, totals: Totals) -> dict[str, NDArray[np.float64]]:
        """Return the hallucination rates."""
        right, n = (both_relations(totals, name) for name in ("right", "n"))
        parts = {f"{r}/accuracy": ratio(totals[f"{r}/right"], totals[f"{r}/n"]) for r in RELATIONS}
        return halr({**parts, "accuracy": ratio(right, n)})


def both_relations(totals: Totals, name: str) -> NDArray[np.float64]:
    """Return a count of both kinds of relation together."""
    perception, cognitive = (totals[f"{relation}/{name}"] for relation in RELATIONS)
    return perception + cognitive


def relation(text: str, target: Mapping[str, str]) -> str | None:
    """Return the words between the two things in the first line of an answer; None if not there."""
    words = _words(text.strip().partition("\n")[0])
    before, after = _words(target["before"]), _words(target["after"])
    found = re.search(rf"(?:^| ){re.escape(before)} (.+?) {re.escape(after)}(?: |$)", words)
    return found[1] if found else None


def _words(text: str) -> str:
    words = re.findall(r"[\w'-]+", text.lower())
    return " ".join(word for word in words if word not in ARTICLES)
