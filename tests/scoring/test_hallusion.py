from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from halluc.scoring.hallusionbench import metric as hallusion
from halluc.scoring.hallusionbench.metric import RIGHT, UNCLEAR, WRONG, Judged

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PREDICTIONS: dict[str, Callable[[dict[str, str]], str]] = {
    "all_yes": lambda record: "Yes.",
    "all_no": lambda record: "No, it is not.",
    "all_uncertain": lambda record: "I cannot tell.",
    "qid_parity": lambda r: "yes" if (int(r["question_id"]) + int(r["figure_id"])) % 2 else "no",
}


def same_question(record: dict[str, str]) -> tuple[str, ...]:
    return tuple(record[name] for name in ("category", "subcategory", "set_id", "question_id"))


@pytest.mark.parametrize("name", PREDICTIONS)
def test_official_metrics_of_rule_made_predictions(shared: Path, name: str) -> None:
    records = json.loads((shared / "data/HallusionBench.json").read_text())
    texts = [PREDICTIONS[name](record) for record in records]
    original = {
        same_question(r): t for r, t in zip(records, texts, strict=True) if r["figure_id"] == "0"
    }
    sets: dict[str, list[Judged]] = {}
    for record, text in zip(records, texts, strict=True):
        judged = Judged(
            "/".join(same_question(record)[:3]),
            record["category"],
            record["figure_id"],
            record["question_id"],
            record["visual_input"],
            record["gt_answer"],
            hallusion.read(text, record["gt_answer"]),
            original[same_question(record)] == text,
        )
        sets.setdefault(judged.set, []).append(judged)
    totals: Counter[str] = Counter()
    for questions in sets.values():
        totals.update(hallusion.tally(questions))
    check(totals, next(row for row in golden(shared) if row["name"] == name))


def golden(shared: Path) -> list[dict[str, Any]]:
    path = shared / "golden/hallusionbench/baselines_official.json"
    rows: list[dict[str, Any]] = json.loads(path.read_text())
    return rows


def check(totals: Counter[str], want: dict[str, Any]) -> None:
    counts = {
        "questions": "n",
        "pair": "q_total",
        "figure": "f_total",
        "easy": "easy_total",
        "hard": "hard_total",
        "figure wrong": "wrong",
    }
    assert {name: totals[name] for name in counts} == {n: want[k] for n, k in counts.items()}
    assert [totals[cause] for cause in ("LH", "VI", "Mixed")] == want["LH_VI_Mix"]
    arrays = {name: np.array(float(totals[name])) for name in [*totals, "LH", "VI", "Mixed"]}
    got = {name: float(value) for name, value in hallusion.metrics(arrays).items()}
    for ours, theirs in (
        ("aAcc", "aAcc"),
        ("qAcc", "qAcc"),
        ("fAcc", "fAcc"),
        ("easy aAcc", "easy"),
        ("hard aAcc", "hard"),
    ):
        assert round(got[ours], 4) == want[theirs]
    assert got["Yes/No Bias (Pct Diff)"] == pytest.approx(want["diff"], abs=1e-12)
    assert got["Yes/No Bias (FP Ratio)"] == pytest.approx(want["fp"], abs=1e-12)


def test_answers_are_read_by_rule() -> None:
    assert hallusion.read("Yes, it is.", "1") == RIGHT
    assert hallusion.read("No", "1") == WRONG
    assert hallusion.read("0", "0") == RIGHT
    assert hallusion.read("Perhaps", "0") == UNCLEAR


def test_by_hand() -> None:
    def judged(figure: str, visual: str, truth: str, verdict: int, same: bool = False) -> Judged:
        return Judged("VS/map/0", "VS", figure, "0", visual, truth, verdict, same)

    counts = hallusion.tally(
        [
            judged("0", "0", "1", UNCLEAR),  # no figure, does not know: correct
            judged("1", "1", "1", RIGHT),
            judged("2", "2", "0", WRONG),
        ]
    )
    assert (counts["questions"], counts["correct"], counts["pair right"]) == (3, 2, 0)
    assert (counts["easy right"], counts["hard right"]) == (1, 0)
    assert (counts["figure"], counts["figure right"], counts["figure wrong"]) == (2, 1, 1)
    assert (counts["yes"], counts["said yes"], counts["VI"]) == (2, 3, 1)
