"""PhD: four modes from one file, and its index."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from halluc.benchmarks.phd import FOLLOW, MODES, REPO, TASKS, PhD, index
from halluc.errors import UserError
from halluc.scoring.scores import score
from halluc.types import Answer
from tests.benchmarks.hub import picture
from tests.benchmarks.tiny_run import scored

if TYPE_CHECKING:
    from tests.benchmarks.hub import Hub

pytestmark = pytest.mark.usefixtures("cache")

PLAIN: dict[str, Any] = {
    "image_id": "139",
    "task": "attribute",
    "yes_question": "Is the chair red?",
    "no_question": "Is the chair blue?",
    "hitem": "blue",
    "gt": "red",
    "subject": "chair",
    "context": {"sec": "People like blue.", "icc": "The chair is blue."},
}
ODD = {
    "image_id": "7",
    "task": "counting",
    "yes_question": "Has the hand six fingers?",
    "no_question": "Has the hand five fingers?",
    "ccs_description": "Hands have five fingers.",
}
IMAGES = {
    "images/val2014/COCO_val2014_000000000139.jpg": 1,
    "images/CCS_images/7.png": 2,
}


def folder(path: Path, *records: dict[str, Any]) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "data.json").write_text(json.dumps(records or (PLAIN, ODD)))
    for name, shade in IMAGES.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(picture(shade))
    return path


def test_from_the_authors_files(tmp_path: Path) -> None:
    samples = {s.id: s for s in PhD(folder=folder(tmp_path)).samples()}
    assert [*samples] == [
        f"00000/{mode}/{label}" for mode in ("base", "sec", "icc") for label in ("yes", "no")
    ] + ["00001/ccs/yes", "00001/ccs/no"]
    assert samples["00000/base/yes"].prompt == "Is the chair red?"
    assert samples["00000/sec/no"].prompt == (
        "People like blue. In case there is an inconsistency between the context and the image "
        "content, you should follow the image. Is the chair blue?"
    )
    assert samples["00000/icc/yes"].prompt == "The chair is blue." + FOLLOW + "Is the chair red?"
    assert samples["00001/ccs/no"].prompt == "Has the hand five fingers?"
    assert {s.id.rsplit("/", 1)[1]: s.target for s in samples.values()} == {
        "yes": "yes",
        "no": "no",
    }
    assert samples["00000/sec/no"].group == "sec/attribute"
    assert samples["00001/ccs/no"].group == "ccs/count"
    assert samples["00000/base/yes"].load_image().getpixel((0, 0)) == (1, 0, 0)
    assert samples["00001/ccs/yes"].load_image().getpixel((0, 0)) == (2, 0, 0)
    assert len(list(PhD(folder=tmp_path).samples(1))) == 6


def test_train_images_come_first_and_earlier_names_of_contexts(tmp_path: Path) -> None:
    earlier = {**PLAIN, "context": {"iac": "People like blue.", "icc": "The chair is blue."}}
    folder(tmp_path, earlier)
    (tmp_path / "images/train2014").mkdir()
    (tmp_path / "images/train2014/COCO_train2014_000000000139.jpg").write_bytes(picture(9))
    samples = list(PhD(folder=tmp_path).samples())
    assert samples[2].prompt.startswith("People like blue. In case")
    assert samples[0].load_image().getpixel((0, 0)) == (9, 0, 0)


def test_from_the_hubs_cache(hub: Hub) -> None:
    snapshot = folder(hub.snapshot(REPO))
    assert len(list(PhD().samples())) == 8
    (snapshot / "images/CCS_images/7.png").unlink()
    with pytest.raises(UserError, match=r"record 2: image 'CCS_images/7.png' is not below"):
        list(PhD().samples())
    folder(snapshot, PLAIN)
    with pytest.raises(UserError, match=r"AIMClab-RUC/PhD: data.json is .* when first used"):
        list(PhD().samples())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"task": "texture"}, "task 'texture' begins with none of object, attribute"),
        ({"context": "?"}, "context is not an object of sec and icc"),
        ({"context": {"icc": "x"}}, "context: needs 'sec' or 'iac'"),
        ({"image_id": "x"}, "'image_id' is 'x', not a whole number"),
        ({"image_id": "140"}, "image 'COCO_val2014_000000000140.jpg' is not below"),
        ({"no_question": None}, "'no_question' is None, not a text"),
    ],
)
def test_wrong_records(tmp_path: Path, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"data.json line 1.*{message}"):
        list(PhD(folder=folder(tmp_path, {**PLAIN, **wrong})).samples())


def test_on_a_tiny_model(tmp_path: Path) -> None:
    scores = scored(PhD(folder=folder(tmp_path)))
    assert (scores.n, scores.failed) == (8, 0)


@pytest.mark.parametrize(
    ("text", "read"), [("Yes, it is.", "yes"), ("No.", "no"), ("yes and no", None), ("red", None)]
)
def test_exactly_one_of_the_words_is_an_answer(text: str, read: str | None) -> None:
    assert PhD().predict(Answer("1", "i", "base/object", "", "yes", text=text)) == read
    assert PhD("official").protocol == "rules"  # the authors publish no reader


def test_the_index_is_the_harmonic_mean_of_recalls() -> None:
    def of(tp: float, fn: float, tn: float, fp: float) -> float:
        counts = {"tp": tp, "fn": fn, "tn": tn, "fp": fp}
        return float(index({name: np.array([n]) for name, n in counts.items()})[0])

    assert of(9, 1, 3, 7) == pytest.approx(2 * 0.9 * 0.3 / (0.9 + 0.3))
    assert of(10, 0, 0, 10) == 0  # always yes
    assert of(0, 5, 0, 5) == 0
    assert of(4, 4, 30, 30) == pytest.approx(0.5)  # recalls weigh alike
    assert np.isnan(of(3, 1, 0, 0))


def said(mode: str, task: str, yes: str, no: str, n: int = 0) -> list[Answer]:
    return [
        Answer(f"{n}/{mode}/{task}/{label}", f"{n}", f"{mode}/{task}", "", label, text=text)
        for label, text in (("yes", yes), ("no", no))
    ]


def test_by_hand() -> None:
    answers = [answer for mode in MODES[1:] for answer in said(mode, "object", "Yes", "No")]
    # base: yes to 3 of 4, no to 1 of 4; "red" is wrong
    for n, (yes, no) in enumerate([("yes", "no"), ("yes", "yes"), ("yes", "yes"), ("red", "red")]):
        answers += said("base", TASKS[n // 2], yes, no, n)
    values = {k: v.value for k, v in score(PhD(), answers, draws=0).values.items()}
    assert values["base/yes_recall"] == pytest.approx(3 / 4)
    assert values["base/no_recall"] == pytest.approx(1 / 4)
    assert values["base/index"] == pytest.approx(2 * 0.75 * 0.25 / (0.75 + 0.25))  # 0.375
    assert values["base/accuracy"] == pytest.approx(4 / 8)
    assert values["base/object/index"] == pytest.approx(2 * 1 * 0.5 / 1.5)
    assert values["base/attribute/index"] == 0  # recalls 1/2 and 0
    assert values["sec/index"] == 1
    assert values["index"] == pytest.approx((0.375 + 3) / 4)
    alone = score(PhD(), said("base", "object", "Yes", "No"), draws=0).values
    assert np.isnan(alone["index"].value) and alone["base/index"].value == 1
