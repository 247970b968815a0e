"""Reefknot, with lines of the repository's three files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from halluc.benchmarks.reefknot import ReefknotChoice, ReefknotVqa, ReefknotYesNo, relation
from halluc.errors import UserError
from halluc.scoring.answer_files import AnswerFiles
from halluc.scoring.building import benchmark_names
from halluc.scoring.rescoring import score_files
from halluc.scoring.scores import score
from halluc.types import Answer
from tests.benchmarks.hub import picture
from tests.benchmarks.tiny_run import scored

pytestmark = pytest.mark.usefixtures("cache")

TARGET = {"label": "bag is on ground.", "before": "bag is", "after": "ground"}


def line(image: str, query: str, label: str, kind: str, type: str) -> dict[str, Any]:
    return {"image_id": image, "query_prompt": query, "label": label, "type": type,
            "mllm_name": "", "response": "", "relation_type": kind}  # fmt: skip


YES_NO = [
    line("7", f"Is the man {how} the horse in this photo? Please answer yes or no.", label, kind,
         "Yes/No")
    for how, label, kind in (
        ("riding", "yes", "cognitive"), ("leading", "no", "cognitive"), ("on", "yes", "perception")
    )
]  # fmt: skip
CHOICE = [
    line("7", "What is the relation with knife and apple in this photo? A. behind B. cut into "
         "C. on D. into, please choose.", "D", "perception", "Multichoice"),
    line("12", "What is the relation with man and horse in this photo? A. rides B. leads C. feeds "
         "D. eats, please choose.", "A", "cognitive", "Multichoice"),
]  # fmt: skip
VQA = [
    line("12", "What is the relation with bag and ground in this photo? Please answer in the "
         "following format:bag is <relation> ground.", "bag is on ground.", "perception", "VQA"),
    line("7", "What is the relation with man and horse in this photo? Please answer in the "
         "following format:man is <relation> horse.", "man is riding horse.", "cognitive", "VQA"),
]  # fmt: skip


def lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for place, image in (("VG_100K", 7), ("VG_100K_2", 12)):
        (tmp_path / "VG_dataset" / place).mkdir(parents=True)
        (tmp_path / f"VG_dataset/{place}/{image}.jpg").write_bytes(picture(image))
    (tmp_path / "Dataset").mkdir()
    for name, rows in (("YESNO", YES_NO), ("Multichoice", CHOICE), ("VQA", VQA)):
        (tmp_path / f"Dataset/{name}.jsonl").write_text(lines(rows))
    return tmp_path


def values(benchmark: Any, replies: list[str]) -> dict[str, float]:
    samples = sorted(benchmark.samples(), key=lambda sample: sample.id)
    answers = [Answer.of(s, text=text) for s, text in zip(samples, replies, strict=True)]
    return {name: one.value for name, one in score(benchmark, answers, draws=0).values.items()}


def test_the_three_files(folder: Path) -> None:
    assert benchmark_names("reefknot") == ("reefknot_choice", "reefknot_vqa", "reefknot_yes_no")
    first, *rest = ReefknotYesNo(folder=folder).samples()
    assert (first.id, first.image_id, first.group, first.target) == (
        "00001", "7.jpg", "cognitive", "yes"
    )  # fmt: skip
    assert first.prompt == YES_NO[0]["query_prompt"]
    assert first.load_image().getpixel((0, 0)) == (7, 0, 0)
    assert [sample.group for sample in rest] == ["cognitive", "perception"]
    one, two = ReefknotChoice(folder=folder).samples()
    assert one.prompt == CHOICE[0]["query_prompt"]
    assert dict(one.options) == {"A": "behind", "B": "cut into", "C": "on", "D": "into"}
    assert (one.target["answer"], two.group) == ("D", "cognitive")
    assert len(list(ReefknotChoice(folder=folder, rotate_options=True).samples())) == 8
    assert next(ReefknotVqa(folder=folder).samples()).target == TARGET
    assert len(list(ReefknotVqa(folder=folder).samples(1))) == 1


def test_a_hallucination_rate_is_the_share_of_wrong_answers(folder: Path) -> None:
    found = values(ReefknotYesNo(folder=folder), ["Yes.", "yes, he is", "Perhaps"])
    # one of two cognitive answers is wrong, the unread one about perception is
    assert (found["cognitive/halr"], found["perception/halr"]) == (0.5, 1.0)
    assert found["halr"] == pytest.approx(2 / 3)
    # tp 1, fp 1, fn 1 (what cannot be read counts as the wrong word): F1 2 / 4; yes 2 of 3
    assert found["f1"] == 0.5
    assert found["yes_ratio"] == pytest.approx(2 / 3)


def test_choices_are_read_by_letter_or_words(folder: Path) -> None:
    found = values(ReefknotChoice(folder=folder), ["D. into", "He feeds it"])
    assert (found["halr"], found["perception/halr"], found["cognitive/halr"]) == (0.5, 0.0, 1.0)
    assert found["accuracy"] == 0.5


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("bag is on ground.", "on"),
        ("The bag is on the ground", "on"),
        ("Bag is standing on ground, I think.", "standing on"),
        ("on", None),
        ("handbag is on ground", None),
        ("bag is\non ground", None),
        ("ground is under bag.", None),
    ],
)
def test_a_relation_stands_between_the_things(text: str, read: str | None) -> None:
    assert relation(text, TARGET) == read


def test_open_answers_by_rules_and_by_a_judge(folder: Path) -> None:
    replies = ["The bag is on the ground.", "man is sitting on horse."]
    found = values(ReefknotVqa(folder=folder), replies)
    assert (found["halr"], found["perception/halr"], found["cognitive/halr"]) == (0.5, 0.0, 1.0)

    class Agrees:
        name = "agrees"

        def ask(self, prompt: str) -> str:
            assert "First: " in prompt
            return "Yes." if "horse" in prompt else "no"

    judge: Any = Agrees()
    found = values(ReefknotVqa("judge", folder=folder, judge=judge), replies)
    assert (found["perception/halr"], found["cognitive/halr"]) == (1.0, 0.0)


def test_the_authors_answer_files(folder: Path, tmp_path: Path) -> None:
    said = [
        {k: v for k, v in row.items() if k != "relation_type"} | {"response": text}
        for row, text in zip(YES_NO, ("Yes", "Yes", "Yes"), strict=True)
    ]
    path, labels = tmp_path / "YesNo_results.jsonl", folder / "Dataset/YESNO.jsonl"
    path.write_text(lines(said))
    result = score_files(ReefknotYesNo(), AnswerFiles(path, labels))
    assert result["scores"]["cognitive/halr"]["value"] == 0.5
    with pytest.raises(UserError, match="line 1: needs 'relation_type'"):
        score_files(ReefknotYesNo(), AnswerFiles(path))
    path.write_text(lines(said[:2]))
    with pytest.raises(UserError, match="has 2 answers to 3 questions"):
        score_files(ReefknotYesNo(), AnswerFiles(path, labels))
    path.write_text(lines([said[1], said[0], said[2]]))
    with pytest.raises(UserError, match=r"line 1: its query_prompt is not that of .*line 1"):
        score_files(ReefknotYesNo(), AnswerFiles(path, labels))


def test_files_that_are_missing_or_wrong(folder: Path) -> None:
    with pytest.raises(UserError, match=r"reefknot_vqa: give a folder with VQA\.jsonl of github"):
        list(ReefknotVqa().samples())
    (folder / "VG_dataset/VG_100K_2/12.jpg").unlink()
    with pytest.raises(UserError, match=r"VQA\.jsonl line 1: image '12.jpg' is not below"):
        list(ReefknotVqa(folder=folder).samples())
    path = folder / "Dataset/YESNO.jsonl"
    path.write_text(path.read_text().replace("perception", "other"))
    with pytest.raises(UserError, match=r"line 3: relation_type 'other' is neither perception nor"):
        list(ReefknotYesNo(folder=folder).samples())


@pytest.mark.parametrize("benchmark", [ReefknotYesNo, ReefknotChoice, ReefknotVqa])
def test_a_tiny_model_is_scored(benchmark: Any, folder: Path) -> None:
    assert scored(benchmark(folder=folder), 1).failed == 0


def test_answers_files_that_are_doubled_or_mislabelled(tmp_path: Path) -> None:
    path = tmp_path / "Multichoice_results.jsonl"
    said = [{**row, "response": str(row["label"])} for row in CHOICE]
    path.write_text(lines([{**said[0], "label": "d"}, said[1]]))
    result = score_files(ReefknotChoice(), AnswerFiles(path), draws=0)
    assert result["scores"]["halr"]["value"] == 0
    note = "2 answers, where the data set has 6950: missing answers go unnoticed"
    assert note in result["notes"]
    path.write_text(lines([said[0], {**said[1], "label": "yes"}]))
    with pytest.raises(UserError, match=r"line 2: label 'YES' is not one of A, B, C, D"):
        score_files(ReefknotChoice(), AnswerFiles(path))
    path.write_text(lines(said + said))
    with pytest.raises(UserError, match=r"line 3: asks again what .* line 1 asks; is the file do"):
        score_files(ReefknotChoice(), AnswerFiles(path))


def test_the_published_files_ask_some_questions_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "YesNo_results.jsonl"
    said = [{**row, "response": "yes"} for row in YES_NO]
    assert (ReefknotYesNo.asked_again, ReefknotVqa.asked_again) == (98, 52)
    monkeypatch.setattr(ReefknotYesNo, "asked_again", 1)
    path.write_text(lines([*said, said[0]]))
    assert score_files(ReefknotYesNo(), AnswerFiles(path), draws=0)["n"] == 4
    path.write_text(lines([*said, said[0], said[1]]))
    with pytest.raises(UserError, match=r"line 5: asks again what .* line 2 asks"):
        score_files(ReefknotYesNo(), AnswerFiles(path))
