"""HumbleBench: made-up questions in the published form, and published figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from halluc.benchmarks.humblebench import NONE_ACCURACY, REPO, HumbleBench
from halluc.errors import UserError
from halluc.scoring.answer_files import AnswerFiles
from halluc.scoring.rescoring import score_files
from tests.benchmarks.hub import picture
from tests.benchmarks.tiny_run import scored

if TYPE_CHECKING:
    from tests.benchmarks.hub import Hub

pytestmark = pytest.mark.usefixtures("cache")

QUESTION = (
    "What is next to the chair?\nA. A dog\nB. A cat\nC. A lamp\nD. A table\nE. None of the above"
)
LABELS, TYPES = "AEEC", ("Object", "Relation", "Relation", "Attribute")


def rows(named: bool = True) -> list[dict[str, Any]]:
    return [
        {
            "image": {"bytes": picture(n), "path": f"{n // 2}.jpg" if named else None},
            "question_id": n,
            "question": QUESTION,
            "label": LABELS[n],
            "type": TYPES[n],
        }
        for n in range(4)
    ]


def test_from_the_hubs_cache(hub: Hub) -> None:
    hub.put(REPO, "train-00000-of-00001.parquet", rows())
    samples = list(HumbleBench().samples())
    assert [s.image_id for s in samples] == ["0.jpg", "0.jpg", "1.jpg", "1.jpg"]
    assert [s.target["answer"] for s in samples] == list(LABELS)
    assert [s.group for s in samples] == list(TYPES)
    assert samples[0].prompt.endswith(
        "E. None of the above\nPlease respond with only the letter of the correct choice "
        "(A, B, C, D, or E). Do not include the option text or any other explanation."
    )
    assert samples[0].options[0] == ("A", "A dog")
    assert samples[0].options[-1] == ("E", "None of the above")
    assert samples[3].load_image().getpixel((0, 0)) == (3, 0, 0)
    assert len(list(HumbleBench().samples(1))) == 2


def test_questions_of_images_without_names_stand_alone(hub: Hub) -> None:
    hub.put(REPO, "train-00000-of-00001.parquet", rows(named=False))
    assert len({sample.image_id for sample in HumbleBench().samples()}) == 4
    assert len(list(HumbleBench().samples(1))) == 1


def test_none_of_the_above_stays_below_the_others(hub: Hub) -> None:
    hub.put(REPO, "train-00000-of-00001.parquet", rows())
    samples = list(HumbleBench(rotate_options=True).samples(1))
    assert len(samples) == 8
    assert all(s.options[-1] == ("E", "None of the above") for s in samples)
    assert [s.target["answer"] for s in samples] == list("ADCB" + "EEEE")
    assert samples[1].prompt.startswith(
        "What is next to the chair?\nA. A cat\nB. A lamp\nC. A table\nD. A dog\nE. None"
    )


def folder(path: Path) -> Path:
    records = [{**row, "file_name": f"{n // 2}.png"} for n, row in enumerate(rows())]
    for record in records:
        del record["image"]
    (path / "metadata.jsonl").write_text("\n".join(map(json.dumps, records)))
    for n in range(2):
        (path / f"{n}.png").write_bytes(picture(n))
    return path


def test_from_the_authors_folder(tmp_path: Path) -> None:
    samples = list(HumbleBench(folder=folder(tmp_path)).samples())
    assert [s.image_id for s in samples] == ["0.png", "0.png", "1.png", "1.png"]
    assert samples[2].load_image().getpixel((0, 0)) == (1, 0, 0)
    (tmp_path / "1.png").unlink()
    with pytest.raises(UserError, match=r"metadata.jsonl line 3: image '1.png' is not below"):
        list(HumbleBench(folder=tmp_path).samples())
    file = tmp_path / "metadata.jsonl"
    file.write_text(file.read_text().replace('"label": "A"', '"label": "F"'))
    with pytest.raises(UserError, match=r"metadata.jsonl is .* first used"):
        list(HumbleBench(folder=tmp_path).samples())


def test_a_wrong_row(hub: Hub) -> None:
    hub.put(REPO, "train-00000-of-00001.parquet", [{**rows()[0], "label": "F"}])
    with pytest.raises(
        UserError, match="HumbleBench row 0: answer 'F' is not one of A, B, C, D, E"
    ):
        list(HumbleBench().samples())


def test_an_unknown_type(hub: Hub) -> None:
    hub.put(REPO, "train-00000-of-00001.parquet", [{**rows()[0], "type": "Weather"}])
    with pytest.raises(UserError, match="type 'Weather' is not one of Object, Relation, Attribute"):
        list(HumbleBench().samples())


def test_on_a_tiny_model(hub: Hub) -> None:
    hub.put(REPO, "train-00000-of-00001.parquet", rows())
    assert scored(HumbleBench()).n == 4
    assert scored(HumbleBench(rotate_options=True)).totals["circular/n"] == 4


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        ("b.", "B"),
        ("The answer is (B)", "B"),
        ("Option B", "B"),
        ("B. A cat", None),  # "A" is a letter, too
        ("A or B", None),
        ("B_", None),
        ("cat", None),
        ("", None),
    ],
)
def test_as_the_authors_read(text: str, letter: str | None) -> None:
    assert HumbleBench().official(text) == letter


def answers(path: Path, said: list[tuple[str, str, str]]) -> AnswerFiles:
    """Write (type, label, prediction) as the authors' JSON lines."""
    lines = [
        {
            "label": label,
            "question": QUESTION,
            "type": kind,
            "image": {"path": f"images/{n % 3}.jpg", "bytes": None},
            "question_id": n,
            "prediction": prediction,
        }
        for n, (kind, label, prediction) in enumerate(said)
    ]
    (file := path / "answers.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return AnswerFiles(file)


def test_by_hand(tmp_path: Path) -> None:
    said = [
        ("Object", "A", "A"),
        ("Object", "E", "E"),
        ("Object", "E", "E."),  # right, and not exactly E
        ("Relation", "E", "B"),
        ("Attribute", "C", "D or C"),
    ]
    result = score_files(HumbleBench(), answers(tmp_path, said), draws=0)
    assert result["scores"]["accuracy"]["value"] == pytest.approx(3 / 5)
    assert result["scores"][NONE_ACCURACY]["value"] == pytest.approx(2 / 3)
    assert result["unparseable"] == 1
    assert result["n_images"] == 3
    assert result["metrics"] == pytest.approx(
        {
            "Object_accuracy": 100.0,
            "Relation_accuracy": 0.0,
            "Attribute_accuracy": 0.0,
            "Overall_accuracy": 60.0,
            "E_accuracy": 100 / 3,
            "A_proportion": 20.0,
            "B_proportion": 20.0,
            "C_proportion": 0.0,
            "D_proportion": 0.0,
            "E_proportion": 40.0,
            "NA_proportion": 20.0,
        }
    )


PUBLISHED = {
    # of 7224, 7528 and 8079 questions: the numbers that make all published accuracies whole
    "LLaMA-3": ((4158, 4836, 5918), 65.31470369234812, (57.55813953488372, 64.24017003188098)),
    "Molmo-D": ((4446, 4912, 6010), 67.31198808637379, (61.54485049833887, 65.24973432518597)),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_accuracies_by_type_give_the_published_overall_one(name: str) -> None:
    """overall.log of the authors' repository: types weigh as many questions as they have."""
    import numpy as np

    right, overall, (by_object, by_relation) = PUBLISHED[name]
    counts = zip(("Object", "Relation", "Attribute"), right, (7224, 7528, 8079), strict=True)
    totals: dict[str, Any] = {"by_logits/n": 0, "by_logits/right": 0}
    totals |= {f"circular/{what}": 0 for what in ("n", "right")}
    totals |= {f"none/{what}": 0 for what in ("n", "right")}
    for kind, part, n in counts:
        totals |= {f"{kind}/right": part, f"{kind}/n": n}
    metrics = HumbleBench().metrics({k: np.array([float(v)]) for k, v in totals.items()})
    assert 100 * metrics["accuracy"][0] == pytest.approx(overall, abs=1e-9)
    assert 100 * metrics["Object/accuracy"][0] == pytest.approx(by_object, abs=1e-9)
    assert 100 * metrics["Relation/accuracy"][0] == pytest.approx(by_relation, abs=1e-9)


def test_wrong_answers_files(tmp_path: Path) -> None:
    files = answers(tmp_path, [("Object", "A", "A")] * 2)
    files.answers.write_text(
        files.answers.read_text().replace('"question_id": 1', '"question_id": 0')
    )
    with pytest.raises(UserError, match="line 2: id 0 again"):
        score_files(HumbleBench(), files)
    files = answers(tmp_path, [("Object", "A", "A")])
    files.answers.write_text(files.answers.read_text().replace('"path"', '"url"'))
    with pytest.raises(UserError, match="line 1: image is neither a path nor an object with one"):
        score_files(HumbleBench(), files)
    with pytest.raises(UserError, match="line 1: label 'YES' is not one of A, B, C, D, E"):
        score_files(HumbleBench(), answers(tmp_path, [("Object", "Yes", "A")]))
    result = score_files(HumbleBench(), answers(tmp_path, [("Object", " a", "A")]))
    assert result["scores"]["accuracy"]["value"] == 1
    assert result["notes"] == [
        "1 answers, where the data set has 22831: missing answers go unnoticed"
    ]
