from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from halluc.data.pinned_files import checksum
from halluc.errors import UserError
from halluc.scoring.base import REGISTRY
from halluc.scoring.pope import relabelling as repope
from halluc.scoring.pope.answer_files import read_questions
from halluc.scoring.pope.question_files import build_files
from halluc.scoring.pope.relabelling import label_files, relabel
from halluc.scoring.scores import score
from halluc.types import Answer

if TYPE_CHECKING:
    from pathlib import Path


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_published_set_is_built_again(shared: Path, tmp_path: Path) -> None:
    objects = shared / "data/pope/coco500_objects_reconstructed.jsonl"
    paths = build_files(objects, tmp_path, template="official")
    assert [path.name.rsplit("_", 1)[1] for path in paths] == [
        "random.json",
        "popular.json",
        "adversarial.json",
    ]
    assert lines(paths[1]) == lines(shared / "golden/pope/official_builder_popular.json")
    again = build_files(objects, tmp_path / "again", template="official")
    assert [p.read_bytes() for p in paths] == [p.read_bytes() for p in again]


def coco(path: Path, images: int) -> Path:
    """Instances of `images` images, each with four of ten objects, one of them twice."""
    annotations = [
        {"id": 10 * n + k, "image_id": n, "category_id": (n + k) % 10 if k < 4 else n % 10}
        for n in range(images)
        for k in range(5)
    ]
    content = {
        "images": [{"id": n, "file_name": f"{n}.jpg"} for n in range(images)],
        "annotations": annotations,
        "categories": [{"id": k, "name": f"object{k}"} for k in range(10)],
    }
    path.write_text(json.dumps(content))
    return path


def test_any_coco_annotations_will_do(tmp_path: Path) -> None:
    objects = coco(tmp_path / "instances.json", 20)
    paths = build_files(objects, tmp_path / "out", n=8, seed=3)
    for path in paths:
        asked = lines(path)
        assert len(asked) == 48
        assert asked[0]["text"] == f"Is there an {asked[0]['text'].split()[3]} in the image?"
    images = [line["image"] for line in lines(paths[0])]
    assert images == [line["image"] for line in lines(paths[2])]
    other = build_files(objects, tmp_path / "other", n=8, seed=4)
    assert images != [line["image"] for line in lines(other[0])]


def test_only_images_that_are_there_are_asked_about(tmp_path: Path) -> None:
    objects = coco(tmp_path / "instances.json", 20)
    folder = tmp_path / "images"
    folder.mkdir()
    for n in range(5, 10):
        (folder / f"{n}.jpg").touch()
    (path, *_) = build_files(objects, tmp_path / "out", images=folder, n=5)
    assert {line["image"] for line in lines(path)} == {f"{n}.jpg" for n in range(5, 10)}
    with pytest.raises(UserError, match="POPE needs 6 images with at least 3 objects, got 5"):
        build_files(objects, tmp_path / "out", images=folder, n=6)


def test_conversations(tmp_path: Path) -> None:
    objects = coco(tmp_path / "instances.json", 4)
    (path, *_) = build_files(objects, tmp_path / "out", n=4, chat=True)
    (first, *_) = chats = lines(path)
    assert path.name == "instances_pope_chat_random.json"
    assert [chat["chat_id"] for chat in chats] == [0, 1, 2, 3]
    assert first["label"] == ["yes", "no"] * 3
    assert len(first["text"]) == 6
    (plain, *_) = build_files(objects, tmp_path / "plain", n=4)
    assert [row.fields for row in read_questions(path)] == lines(plain)


def test_unknown_template(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="choose from corrected, official"):
        build_files(coco(tmp_path / "i.json", 4), tmp_path, n=4, template="imange")


def stored(strategy: str, path: Path, text: str) -> list[Answer]:
    return [
        Answer(f"{strategy}/{q['question_id']}", q["image"], strategy, q["text"], q["label"], text)
        for q in lines(path)
    ]


def test_a_runs_answers_are_scored_against_repope(shared: Path) -> None:
    answers = stored("popular", shared / "data/pope/coco_pope_popular.json", "Yes")
    labels = shared / "data/pope/coco_repope_popular.json"
    relabelled = relabel(answers, "popular", labels)
    assert len(relabelled) == 2727
    assert sum(answer.target == "yes" for answer in relabelled) == 1193
    truth = {answer.id: answer.target for answer in answers}
    flips = [(truth[a.id], a.target) for a in relabelled if truth[a.id] != a.target]
    assert (flips.count(("yes", "no")), flips.count(("no", "yes"))) == (139, 39)
    first = {answer.image_id for answer in answers[:60]}  # a run of ten images
    limited = relabel(answers[:60], "popular", labels)
    assert limited == [answer for answer in relabelled if answer.image_id in first]


def test_labels_that_do_not_belong_to_the_run(shared: Path, tmp_path: Path) -> None:
    labels = shared / "data/pope/coco_repope_popular.json"
    other = stored("popular", shared / "data/pope/gqa_pope_popular.json", "Yes")
    with pytest.raises(UserError, match=r"repope_popular.json: labels no question of the run"):
        relabel(other, "popular", labels)
    answers = stored("popular", shared / "data/pope/coco_pope_popular.json", "Yes")
    for broken in (
        answers[1:],
        [replace(answers[0], prompt="Is there a cow in the image?"), *answers[1:]],
        [replace(answers[0], image_id=answers[6].image_id), *answers[1:]],
    ):
        with pytest.raises(UserError, match=r"line 1: the run was not asked .* are these its la"):
            relabel(broken, "popular", labels)
    adversarial = stored("adversarial", shared / "data/pope/coco_pope_adversarial.json", "Yes")
    as_popular = [
        replace(a, id=a.id.replace("adversarial", "popular"), group="popular") for a in adversarial
    ]
    with pytest.raises(UserError, match=r"the run was not asked"):
        relabel(as_popular, "popular", labels)


def test_label_files(shared: Path, tmp_path: Path, cache: Path) -> None:
    labels = shared / "data/pope/coco_repope_popular.json"
    assert label_files([str(labels)]) == {"popular": labels}
    copy = tmp_path / "more_popular.json"
    copy.write_text(labels.read_text())
    for names, message in (
        ([str(labels), str(copy)], "coco_repope_popular.json is of the popular split too"),
        ([str(tmp_path / "labels.json")], "its name says no split"),
        ([str(tmp_path / "a_random.json")], "a_random.json: no such file"),
    ):
        with pytest.raises(UserError, match=message):
            label_files(names)


def test_repope_is_fetched_once_and_checked(
    tmp_path: Path, cache: Path, published: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = {"question_id": 1, "image": "i.jpg", "text": "Is there a dog?", "label": "no"}
    for split in ("random", "popular", "adversarial"):
        (tmp_path / f"coco_repope_{split}.json").write_text(json.dumps(question))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(repope, "PUBLISHED", published)
    with pytest.raises(UserError, match="not the pinned file"):
        label_files(["repope"])
    sha256 = checksum(tmp_path / "coco_repope_random.json")
    monkeypatch.setattr(repope, "CHECKSUMS", dict.fromkeys(repope.CHECKSUMS, sha256))
    found = label_files(["repope"])
    assert list(found) == ["random", "popular", "adversarial"]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert label_files(["repope"]) == found


def test_one_run_under_every_protocol(shared: Path) -> None:
    answers = stored("popular", shared / "data/pope/coco_pope_popular.json", "Yes, there is.")
    scores = {}
    for protocol in REGISTRY.get("pope_coco").protocols:
        benchmark = REGISTRY.get("pope_coco")()
        benchmark.protocol = protocol
        scores[protocol] = score(benchmark, answers, draws=0)
    assert {name: value.values["popular/accuracy"].value for name, value in scores.items()} == {
        "official": 0.5,
        "vcd": 0.5,
        "opera": 0.5,
        "lmms-eval": 0,
        "vlmevalkit": 0.5,
        "repope": 0.5,
    }
    assert {name: value.unparseable for name, value in scores.items() if value.unparseable} == {
        "lmms-eval": 3000
    }
