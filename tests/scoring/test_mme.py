from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from halluc.scoring import yes_no
from halluc.scoring.mme import metric as mme
from halluc.types import Answer, Reading

if TYPE_CHECKING:
    from pathlib import Path

GOLDEN = {
    "existence": 185,
    "count": 88.33333333333333,
    "position": 63.33333333333333,
    "color": 75,
    "posters": 79.5918367347,
    "commonsense_reasoning": 87.1428571429,
}


def readings(path: Path, subtask: str, protocol: str) -> list[Reading]:
    rows = [line.split("\t") for line in path.read_text().splitlines(keepends=True)]
    return [
        Reading(
            Answer(f"{subtask}/{number:04d}", image, subtask, question, truth.lower(), text=text),
            yes_no.MME[protocol].parse(text),
        )
        for number, (image, question, truth, text) in enumerate(rows)
    ]


def scores(readings: list[Reading], subtask: str) -> dict[str, float]:
    totals = {name: np.array([count]) for name, count in mme.tally(readings).items()}
    return {name: float(value[0]) for name, value in mme.scores(totals, [subtask]).items()}


@pytest.mark.parametrize("protocol", ["official", "lmms-eval"])
@pytest.mark.parametrize(("subtask", "score"), GOLDEN.items())
def test_lavin(shared: Path, subtask: str, score: float, protocol: str) -> None:
    read = readings(shared / f"golden/mme/lavin_{subtask}.txt", subtask, protocol)
    assert scores(read, subtask)[f"{subtask}/score"] == pytest.approx(score, abs=1e-9)
    if subtask == "commonsense_reasoning":
        assert sum(reading.prediction is None for reading in read) == 11


def test_by_hand() -> None:
    def reading(id: str, group: str, target: str, prediction: str | None) -> Reading:
        return Reading(Answer(id, "image", group, "", target), prediction)

    asked = [
        reading("count/1", "count", "yes", "yes"),
        reading("count/0", "count", "no", "no"),
        reading("count/2", "count", "yes", "yes"),
        reading("count/3", "count", "no", None),
        reading("color/0", "color", "yes", "yes"),  # its partner failed
    ]
    counts = mme.tally(asked)
    assert [counts[f"count/{name}"] for name in ("n", "correct", "pairs", "both")] == [4, 3, 2, 1]
    assert [counts[f"color/{name}"] for name in ("n", "correct", "pairs", "both")] == [1, 1, 0, 0]
    totals = {name: np.array([count]) for name, count in counts.items()}
    values = mme.scores(totals, ["count"])
    assert values["count/score"][0] == values["total"][0] == 75 + 50
