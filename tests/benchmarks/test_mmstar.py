"""MMStar, with questions made up in the three forms in which the real ones list their options."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from halluc.benchmarks.mmstar import CATEGORIES, REPO, MmStar
from halluc.errors import UserError
from halluc.scoring.answer_files import AnswerFiles
from halluc.scoring.rescoring import score_files
from tests.benchmarks.hub import picture
from tests.benchmarks.tiny_run import scored

if TYPE_CHECKING:
    from tests.benchmarks.hub import Hub

pytestmark = pytest.mark.usefixtures("cache")

FORMS = (
    "Which animal?\nOptions: A: A dog, a cat, B: A cow, C: No animal., D: A: what",
    "Hint: Answer.\nQuestion: How many?\nChoices:\n(A) 0\n(B) 2\n(C) 3\n(D)5",
    "Hint: Answer.\nQuestion: How many (A) or B?\n(A) 40\n(B) 50\n(C) 60",
)


def rows() -> list[dict[str, Any]]:
    return [
        {
            "index": n,
            "question": FORMS[n % 3],
            "image": picture(n),  # bytes, as the authors' table has them
            "answer": "ABC"[n % 3],
            "category": CATEGORIES[n % 6],
            "l2_category": "recognition",
            "meta_info": {"source": "x", "split": "val", "image_path": f"{n}.jpg"},
        }
        for n in range(6)
    ]


def test_from_the_hubs_cache(hub: Hub) -> None:
    hub.put(REPO, "mmstar.parquet", rows())
    samples = list(MmStar().samples())
    assert [s.id for s in samples[:2]] == ["0000", "0001"]
    assert samples[0].prompt == FORMS[0] + "\nAnswer the question directly."
    assert dict(samples[0].options) == {
        "A": "A dog, a cat",
        "B": "A cow",
        "C": "No animal.",
        "D": "A: what",
    }
    assert dict(samples[1].options) == {"A": "0", "B": "2", "C": "3", "D": "5"}
    assert dict(samples[2].options) == {"A": "40", "B": "50", "C": "60"}
    assert samples[1].target["answer"] == "B"
    assert samples[1].group == "fine-grained perception"
    assert samples[5].load_image().getpixel((0, 0)) == (5, 0, 0)
    assert len(list(MmStar().samples(2))) == 2
    lmms = next(MmStar(prompt="lmms-eval").samples())
    assert lmms.prompt.endswith("\nAnswer with the option's letter from the given choices directly")


def test_rotated(hub: Hub) -> None:
    hub.put(REPO, "mmstar.parquet", rows())
    samples = list(MmStar(rotate_options=True).samples(2))
    assert len(samples) == 8
    assert samples[1].prompt.startswith(
        "Which animal?\nOptions: A: A cow, B: No animal., C: A: what, D: A dog, a cat\n"
    )
    assert [s.target["answer"] for s in samples] == list("ADCB" + "BADC")
    assert scored(MmStar(rotate_options=True)).totals["circular/n"] == 6


def test_a_wrong_row(hub: Hub) -> None:
    hub.put(REPO, "mmstar.parquet", [{**rows()[0], "answer": "E"}])
    with pytest.raises(UserError, match="MMStar row 0: answer 'E' is not one of A, B, C, D"):
        list(MmStar().samples())
    with pytest.raises(UserError, match="mmstar: takes no folder"):
        list(MmStar(folder=Path()).samples())


def test_an_unknown_category(hub: Hub) -> None:
    hub.put(REPO, "mmstar.parquet", [{**rows()[0], "category": "maths"}])
    with pytest.raises(UserError, match="row 0: category 'maths' is not one of coarse perception,"):
        list(MmStar().samples())


def test_on_a_tiny_model(hub: Hub) -> None:
    hub.put(REPO, "mmstar.parquet", rows())
    scores = scored(MmStar())
    assert (scores.n, scores.failed) == (6, 0)


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("b", "B"),
        ("B: A cow", "B"),
        ("(B) 0.21", "B"),
        ("Option B", "B"),
        ("The answer is\nB.", "B"),  # line ends are spaces
        ("Cannot say", "C"),  # the first letter, whatever it begins
        ("( B", None),
        ("The answer: B", None),
        ("It is B", None),
        ("option", None),
        ("", None),
    ],
)
def test_as_the_authors_read(text: str, letter: str | None) -> None:
    assert MmStar().official(text) == letter


RIGHT = (164, 130, 156, 115, 83, 133)
"""Of LLaVA-NeXT-34B, of 250 each, in eval/submits/llava_next_yi_34b_MMStar.xlsx."""


def answers(folder: Path, right: tuple[int, ...] = RIGHT) -> AnswerFiles:
    records = [
        {
            "index": 250 * part + n,
            "question": FORMS[0],
            "answer": "A",
            "category": category,
            "prediction": "A" if n < right[part] else "B",
        }
        for part, category in enumerate(CATEGORIES)
        for n in range(250)
    ]
    (path := folder / "answers.json").write_text(json.dumps(records))
    return AnswerFiles(path)


def test_published_score_of_llava_next(tmp_path: Path) -> None:
    """S_v = 52.1 in the authors' eval/README.md: 781 of 1500 are right."""
    printed = score_files(MmStar(), answers(tmp_path), draws=0)["metrics"]
    assert sum(RIGHT) == 781
    assert round(100 * printed["final score"], 1) == 52.1
    assert printed["coarse perception"] == pytest.approx(164 / 250)
    assert printed["math"] == pytest.approx(133 / 250)


def test_the_authors_own_answers(shared: Path) -> None:
    """Their answers, as JSON: 52.1, where they are."""
    path = shared / "data/mmstar/llava_next_yi_34b.json"
    if not path.is_file():
        pytest.skip(f"needs {path}: the authors' llava_next_yi_34b_MMStar.xlsx as JSON records")
    for protocol in ("official", "rules"):
        printed = score_files(MmStar(protocol), AnswerFiles(path), draws=0)["metrics"]
        assert printed["final score"] == pytest.approx(781 / 1500)


def test_answers_are_whole(tmp_path: Path) -> None:
    files = answers(tmp_path)
    records = json.loads(files.answers.read_text())
    files.answers.write_text(json.dumps(records[:-1]))
    with pytest.raises(UserError, match="question 1499 has none"):
        score_files(MmStar(), files)
    files.answers.write_text(json.dumps([*records, records[0]]))
    with pytest.raises(UserError, match="id 0 again"):
        score_files(MmStar(), files)
