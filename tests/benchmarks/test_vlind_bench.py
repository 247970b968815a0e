"""VLind-Bench, with two instances in the layout that the repository's README describes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from halluc.benchmarks.vlind_bench import VLindBench
from halluc.errors import UserError
from halluc.scoring.scores import score
from halluc.types import Answer
from tests.benchmarks.hub import picture
from tests.benchmarks.tiny_run import scored

pytestmark = pytest.mark.usefixtures("cache")


def instance(id: int, votes: dict[str, int]) -> dict[str, Any]:
    return {
        "concept": "location",
        "context_id": id,
        "context": f"{id} fish swim in the desert.",
        "factual_context": f"{id} fish swim in the sea.",
        "true_statement": "Fish are in the desert.",
        "false_statement": "Fish are in the sea.",
        "existent_noun": "a fish",
        "non-existent_noun": "a tractor",
        "best_img_id": 5,
        "aggregated_human_label_good_images": votes,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    # the third has no image with two votes, and no files
    instances = [
        instance(0, {"0": 3, "1": 1, "5": 2}),
        instance(1, {"5": 2}),
        instance(2, {"5": 1}),
        instance(3, {"5": 3}),
    ]
    (tmp_path / "data.json").write_text(json.dumps(instances))
    for id, images in ((0, "05"), (1, "5"), (3, "5")):
        for kind, where, several in (
            ("counterfactual", "desert", images), ("factual", "sea", "0")
        ):  # fmt: skip
            place = tmp_path / kind / "location" / f"{id}_{id} fish swim in the {where}."
            place.mkdir(parents=True)
            for image in several:
                (place / f"{image}.jpg").write_bytes(picture(int(image)))
    return tmp_path


def test_the_statements_of_an_instance(folder: Path) -> None:
    samples = {sample.id: sample for sample in VLindBench(folder=folder).samples(1)}
    assert [*samples] == [
        f"0000/{stage}{false}" for stage in ("a", "b", "c", "d0", "d5") for false in ("", "/false")
    ]
    assert samples["0000/a"].prompt == (
        "Statement: Fish are in the sea.\nBased on the common sense, is the given statement true "
        "or false? Only respond in True or False."
    )
    assert samples["0000/a"].image_id == "factual/location/0_0 fish swim in the sea./0.jpg"
    assert samples["0000/b/false"].prompt == (
        "Statement: There is a tractor in the given image.\nBased on the image, is the given "
        "statement true or false? Only respond in True or False."
    )
    assert samples["0000/c"].prompt == (
        "Context: 0 fish swim in the desert.\nStatement: Fish are in the desert.\nBased on the "
        "context, is the given statement true or false? Forget real-world common sense and just "
        "follow the information provided in the context. Only respond in True or False."
    )
    assert samples["0000/c"].image_id.endswith("desert./5.jpg")  # the best image
    assert samples["0000/d0"].prompt == (
        "Statement: Fish are in the desert.\nBased on the image, is the given statement true or "
        "false? Forget real-world common sense and just follow the information provided in the "
        "image. Only respond in True or False."
    )
    answers = {id: sample.target["answer"] for id, sample in samples.items()}
    assert answers["0000/d0"] == "True" and answers["0000/d0/false"] == "False"
    assert samples["0000/d0/false"].prompt.startswith("Statement: Fish are in the sea.")
    assert samples["0000/d5"].load_image().getpixel((0, 0)) == (5, 0, 0)
    groups = {sample.group for sample in samples.values()}
    assert groups == {"commonsense", "perception", "bias", "prior"}


def test_the_wording_for_instructblip(folder: Path) -> None:
    asked = VLindBench(folder=folder, prompt="instructblip").samples(1)
    samples = {sample.id: sample.prompt for sample in asked}
    assert samples["0000/a"] == (
        "Only respond in True or False.\nStatement: Fish are in the sea.\nBased on common sense, "
        "is the given statement true or false?"
    )
    assert samples["0000/c"] == (
        "Only respond in True or False.\nContext: 0 fish swim in the desert.\nStatement: Fish are "
        "in the desert.\nBased on the context, is the given statement true or false?"
    )


@pytest.mark.parametrize(
    ("text", "read"),
    [("True", "True"), ("false.", "False"), ("It is false, not true", "False"), ("Untrue", None),
     ("The answer is\nTRUE", "True"), ("**True**", None), ("", None)],
)  # fmt: skip
def test_the_first_of_the_words_counts(text: str, read: str | None) -> None:
    answer = Answer("0000/a", "", "commonsense", "", {"answer": "True", "images": 1}, text=text)
    assert VLindBench().predict(answer) == read


def answered(folder: Path, *wrong: str) -> dict[str, float]:
    """Score answers that are right but for these samples."""
    benchmark = VLindBench(folder=folder)
    answers = [
        Answer.of(s, text="Perhaps" if s.id in wrong else s.target["answer"])
        for s in benchmark.samples()
    ]
    return {name: one.value for name, one in score(benchmark, answers, draws=0).values.items()}


def test_the_pipeline_counts_what_passed_before(folder: Path) -> None:
    assert set(answered(folder).values()) == {1.0}
    # instance 0 has two good images and fails one; 1 fails commonsense; 3 fails perception
    values = answered(folder, "0000/d5/false", "0001/a", "0003/b/false")
    assert values["S_CK"] == pytest.approx(2 / 3)
    assert values["S_VP"] == pytest.approx(2 / 3)
    assert values["S_CB"] == 1.0  # of 0 and 3, which passed commonsense, both
    assert values["S_LP"] == 0.5  # 0 alone passed all: one of its two images
    assert values["CB"] == 1.0
    assert values["LP"] == pytest.approx((0.5 + 1 + 1) / 3)
    # nothing passes commonsense: the authors print 0 for what comes after
    values = answered(folder, "0000/a", "0001/a", "0003/a/false")
    assert (values["S_CK"], values["S_CB"], values["S_LP"], values["CB"]) == (0.0, 0.0, 0.0, 1.0)
    # a bias alone: 1 fails c, so S_CB is 2 of 3, and S_LP is of 0 and 3
    values = answered(folder, "0001/c", "0003/d5")
    assert values["S_CB"] == values["CB"] == pytest.approx(2 / 3)
    assert values["S_LP"] == 0.5 and values["LP"] == pytest.approx(2 / 3)


def test_an_instance_without_all_answers_is_not_counted(folder: Path) -> None:
    benchmark = VLindBench(folder=folder)
    answers = [Answer.of(s, text=s.target["answer"]) for s in benchmark.samples()]
    kept = [answer for answer in answers if answer.id not in ("0000/d5", "0001/b/false")]
    assert score(benchmark, kept, draws=0).totals["n"] == 1.0


def test_splits_keep_instances_whole(folder: Path) -> None:
    sizes = {}
    for split in ("tune:0.5", "test:0.5"):
        benchmark = VLindBench(folder=folder)
        benchmark.take(split)
        samples = list(benchmark.asked())
        sizes[split] = {sample.id.partition("/")[0] for sample in samples}
        assert len(samples) == sum(10 if id == "0000" else 8 for id in sizes[split])
    assert sorted((*sizes["tune:0.5"], *sizes["test:0.5"])) == ["0000", "0001", "0003"]


def test_files_that_are_missing_or_wrong(folder: Path) -> None:
    with pytest.raises(UserError, match=r"vlind_bench: give a folder with data.json"):
        list(VLindBench().samples())
    (folder / "factual/location/1_1 fish swim in the sea./0.jpg").unlink()
    with pytest.raises(UserError, match=r"data.json .*image 'factual/location/1_1 fish.* is not"):
        list(VLindBench(folder=folder).samples())
    (folder / "data.json").write_text(json.dumps([instance(0, {"5": "2"})]))  # type: ignore[dict-item]
    with pytest.raises(UserError, match=r"data.json is .* when first used"):
        list(VLindBench(folder=folder).samples())


def test_a_tiny_model_is_scored(folder: Path) -> None:
    found = scored(VLindBench(folder=folder), 1)
    assert (found.n, found.n_images, found.failed) == (10, 1, 0)
    assert found.totals["n"] == 1.0
