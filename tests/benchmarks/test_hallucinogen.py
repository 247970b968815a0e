"""HALLUCINOGEN, with files of the repository's layout: 12 files, five queries a row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from halluc.benchmarks.hallucinogen import Counterfactual, Identification, Localization, denies
from halluc.errors import UserError
from halluc.scoring.answer_files import AnswerFiles
from halluc.scoring.building import benchmark_names
from halluc.scoring.rescoring import score_files
from halluc.scoring.scores import score
from halluc.types import Answer
from tests.benchmarks.hub import picture
from tests.benchmarks.tiny_run import scored

pytestmark = pytest.mark.usefixtures("cache")

ASKED = {"id": "Is the {} present in the image?", "loc": "Describe where is {} in the image.",
         "cf": "How would the scene change if the {} were invisible?"}  # fmt: skip


def row(n: int, task: str) -> dict[str, object]:
    """A row as the repository has it; the queries are not in order there."""
    name = ("dog", "cat")[n % 2]
    return {
        "question_id": n + 1,
        "image": f"COCO_val2014_{n // 2:012d}.jpg",
        "text": f"Is there a {name} in the image?",
        "label": "no" if n % 2 else "yes",
        **{f"query_{k}": f"{ASKED[task].format(name)} {k}" for k in (2, 1, 3, 4, 5)},
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for task in ASKED:
        data = tmp_path / "hallucinogen/data" / task
        data.mkdir(parents=True)
        for split in ("adv", "pop", "rand"):
            lines = "".join(json.dumps(row(n, task)) + "\n" for n in range(4))
            (data / f"{task}_POPE_{split}.json").write_text(lines)
    (tmp_path / "val2014").mkdir()
    for n in range(2):
        (tmp_path / f"val2014/COCO_val2014_{n:012d}.jpg").write_bytes(picture(n))
    return tmp_path


def test_five_queries_a_pair_in_three_splits(folder: Path) -> None:
    samples = list(Localization(folder=folder).samples())
    assert len(samples) == 3 * 4 * 5
    assert len({sample.id for sample in samples}) == len(samples)
    assert [sample.prompt for sample in samples[:2]] == [
        "Describe where is dog in the image. 1", "Describe where is dog in the image. 2"
    ]  # fmt: skip
    assert (samples[0].id, samples[0].group, samples[0].target) == ("random/1/1", "random", "yes")
    assert samples[5].target == "no" and samples[0].max_new_tokens == 256
    assert samples[-1].load_image().getpixel((0, 0)) == (1, 0, 0)
    assert len(list(Localization(folder=folder).samples(1))) == 30
    concise = next(Counterfactual(folder=folder, prompt="concise").samples())
    assert concise.prompt.endswith(" 1 Provide a concise answer")
    assert len(benchmark_names("hallucinogen")) == 4


def test_missing_and_changed_files(folder: Path) -> None:
    with pytest.raises(UserError, match=r"give a folder with loc_POPE_rand.json"):
        list(Localization().samples())
    path = folder / "hallucinogen/data/loc/loc_POPE_pop.json"
    list(Localization(folder=folder).samples())
    path.write_text(path.read_text().replace("dog", "bus"))
    with pytest.raises(UserError, match=r"loc_POPE_pop.json is .* when first used"):
        list(Localization(folder=folder).samples())
    (folder / "val2014/COCO_val2014_000000000001.jpg").unlink()
    with pytest.raises(UserError, match=r"id_POPE_rand.json line 3: image .* is not below"):
        list(Identification(folder=folder).samples())


def test_a_question_twice(folder: Path) -> None:
    path = folder / "hallucinogen/data/loc/loc_POPE_pop.json"
    path.write_text(path.read_text().replace('"question_id": 2', '"question_id": 1'))
    with pytest.raises(UserError, match=r"loc_POPE_pop.json line 2: id 1 again"):
        list(Localization(folder=folder).samples())


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("There is no dog in the image.", "no"),
        ("The dog is not visible. It may be outside.", "no"),
        ("The dog lies on the sofa. There is no cat.", "yes"),  # the first sentence counts
        ("Yes", "yes"),
        ("No, it is a cat", "no"),
        ("", "yes"),
    ],
)
def test_who_does_not_deny_it_affirms_it(text: str, verdict: str) -> None:
    assert denies(text) == verdict


def test_scores(folder: Path) -> None:
    benchmark = Localization(folder=folder)
    replies = {"yes": "It is on the left.", "no": "There is no cat."}
    answers = []
    for sample in benchmark.samples():
        hallucinated = sample.id == "adversarial/2/3"  # 1 of the 10 about what is absent
        text = "On the left." if hallucinated else replies[str(sample.target)]
        answers.append(Answer.of(sample, text=text))
    found = score(benchmark, answers, draws=0)
    values = {name: interval.value for name, interval in found.values.items()}
    # adversarial: 20 prompts, tp 10, fp 1, tn 9: accuracy 19/20, F1 20/21; the others are all right
    assert values["adversarial/accuracy"] == pytest.approx(19 / 20)
    assert values["accuracy"] == pytest.approx((1 + 1 + 19 / 20) / 3)
    assert values["f1"] == pytest.approx((1 + 1 + 20 / 21) / 3)
    assert found.unparseable == 0


def test_the_authors_answer_files(folder: Path) -> None:
    said = {"yes": "It is on the left.", "no": "There is no cat."}
    lines = []
    for n in range(4):
        fields = row(n, "loc")
        text = said[str(fields["label"])] if n < 3 else "On the left."
        lines.append({**fields, "output_1": text, "output_2": text})
    path = folder / "loc_response_loc_POPE_adv.json"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = score_files(Localization(), AnswerFiles(path))
    assert (result["n"], result["n_images"]) == (8, 2)
    assert result["scores"]["adversarial/accuracy"]["value"] == 0.75  # 6 of 8
    assert result["notes"] == [
        "4 answers, where the data set has 3000: missing answers go unnoticed",
        "answers to 2 of the 5 prompts of each pair",
    ]
    for broken, message in (
        ([*lines[:3], {k: v for k, v in lines[3].items() if k != "output_2"}],
         "line 4: has no 'output_2', the answer to query_2"),
        ([{k: v for k, v in line.items() if k != "output_1"} for line in lines],
         "line 1: has no 'output_1', the answer to query_1"),
        ([*lines, lines[0]], "line 5: id 1 again, first at .* line 1"),
    ):  # fmt: skip
        path.write_text("".join(json.dumps(line) + "\n" for line in broken))
        with pytest.raises(UserError, match=message):
            score_files(Localization(), AnswerFiles(path))
    path.write_text(json.dumps(row(0, "loc")))
    with pytest.raises(UserError, match="line 1: has no 'output_1'"):
        score_files(Localization(), AnswerFiles(path))
    other = path.rename(folder / "answers.json")
    with pytest.raises(UserError, match="its name does not end in _rand, _pop or _adv"):
        score_files(Localization(), AnswerFiles(other))


def test_a_tiny_model_is_scored(folder: Path) -> None:
    found = scored(Identification(folder=folder), 1)
    assert (found.n, found.n_images, found.failed) == (30, 1, 0)
