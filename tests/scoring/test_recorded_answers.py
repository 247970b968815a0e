"""Answers that authors published, scored as `halluc score` scores them: counts equal the authors'.

What is expected was made by the published scorers, without halluc (../shared/data/recorded).
"""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from halluc.errors import UserError
from halluc.scoring.answer_files import AnswerFiles
from halluc.scoring.building import build
from halluc.scoring.rescoring import score_answers_file
from halluc.scoring.scores import read
from halluc.statistics import mcnemar
from halluc.statistics.comparison import common
from halluc.types import Reading

TRUTH = {"pattern": "gt_pattern_full", "wordnet": "gt_lemmatizer_full"}
QUICK = 2
"""Caption files a family that are not marked slow."""


class Recorded(NamedTuple):
    """Published answers: where they are, what the published scorers make of them."""

    name: str
    file: Path
    benchmark: str
    expected: dict[str, Any]
    data: Path

    def files(self, family: str = "wordnet") -> dict[str, Any]:
        """The files next to the answers, as `score_answers_file` takes them."""
        if self.benchmark.startswith("chair"):
            return {"ground_truth": self.data / f"coco/{TRUTH[family]}.json.gz"}
        if self.benchmark == "mme":
            return {}
        pope = self.data / "pope"
        labels = [str(pope / f"coco_pope_{s}.json") for s in ("random", "popular", "adversarial")]
        if any(part.get("rows") == 2910 for part in self.parts.values()):
            labels[0] = str(self.data / "recorded/opera/pope_coco/coco_pope_random.json.gz")
        return {"labels": labels}

    @property
    def parts(self) -> dict[str, Any]:
        """What is expected by split; of one split under the name that its file has."""
        if "official" in self.expected:
            return {"": self.expected}
        return {k: v for k, v in self.expected.items() if isinstance(v, dict)}


@cache
def recorded(data: Path) -> dict[str, Recorded]:
    folder = data / "recorded"
    expected = json.loads((folder / "expected.json").read_text())["scores"]
    records = {one["name"]: one for one in json.loads((folder / "manifest.json").read_text())}
    return {
        name: Recorded(
            name,
            folder / records[name]["local"],
            # captions of 64 tokens were scored whole, as chair.py does
            records[name]["benchmark"].split("/")[0].split(" ")[0].removesuffix("_64"),
            found,
            data,
        )
        for name, found in expected.items()
    }


def of(shared: Path, benchmark: str) -> list[Recorded]:
    return [one for one in recorded(shared / "data").values() if one.benchmark == benchmark]


def score(one: Recorded, protocol: str, **changed: Any) -> dict[str, Any]:
    options = {"protocol": protocol}
    return score_answers_file(one.benchmark, options, one.file, **one.files(protocol) | changed)


@cache
def readings(one_name: str, data: Path, protocol: str) -> list[Reading]:
    one = recorded(data)[one_name]
    named = one.files(protocol)
    labels = [Path(label) for label in named.get("labels", [])]
    first = labels[0] if labels else None
    files = AnswerFiles(one.file, first, named.get("ground_truth"), tuple(labels[1:]))
    benchmark = build(one.benchmark, {"protocol": protocol})
    return read(benchmark, benchmark.read_answers(files))


@pytest.mark.parametrize("protocol", ["official", "vcd"])
def test_pope(shared: Path, protocol: str) -> None:
    found = of(shared, "pope_coco")
    assert len(found) >= 6
    for one in found:
        scored = score(one, protocol)
        for split, part in one.parts.items():
            printed = scored["metrics"][split] if split else scored["metrics"]
            for name in ("TP", "FP", "TN", "FN"):
                assert printed[name] == part[protocol][name], (one.name, split, name)
            assert printed["Accuracy"] == pytest.approx(part[protocol]["accuracy"], abs=1e-12)
            assert printed["F1 score"] == pytest.approx(part[protocol]["f1"], abs=1e-12)
            assert printed["Yes ratio"] == pytest.approx(part[protocol]["yes_ratio"], abs=1e-12)
        if "f1_mean" in one.expected:
            mean = scored["metrics"]["mean F1 score"]
            assert mean == pytest.approx(one.expected["f1_mean"], abs=1e-12)
            assert scored["n"] == sum(part["rows"] for part in one.parts.values())
            assert scored["n_images"] == 500
            assert any("older random split of 2910 questions" in note for note in scored["notes"])


def test_pope_finds_the_split_that_was_answered(shared: Path) -> None:
    """Labels of a folder: the questions that answers repeat say which of them they answer."""
    for one in of(shared, "pope_coco"):
        if "official" in one.expected:
            scored = score(one, "official", labels=[str(shared / "data/pope")])
            assert scored["metrics"]["TP"] == one.expected["official"]["TP"]
            assert [note for note in scored["notes"] if note.startswith("no answers to")]


def test_the_other_edition_of_random_is_refused(shared: Path) -> None:
    (three,) = (one for one in of(shared, "pope_coco") if "f1_mean" in one.expected)
    with pytest.raises(UserError, match="answers from here on are to none of the questions in"):
        score(three, "official", labels=[str(shared / "data/pope")])


def test_mme(shared: Path) -> None:
    found = of(shared, "mme")
    assert found
    for one in found:
        result = score(one, "official")
        scores, expected = result["metrics"], one.expected
        assert scores["perception"] == pytest.approx(expected["perception"], abs=1e-9)
        assert scores["cognition"] == pytest.approx(expected["cognition"], abs=1e-9)
        for subtask, value in expected["subtasks"].items():
            assert scores[subtask]["score"] == pytest.approx(value, abs=1e-9)
            other = expected["other_per_subtask"].get(subtask, 0)
            assert scores[subtask]["other_num"] == other
        assert result["unparseable"] == expected["other_answers"]


def test_mme_in_llavas_lines_is_the_same(shared: Path) -> None:
    folder = shared / "data/recorded"
    records = json.loads((folder / "manifest.json").read_text())
    lines = [r for r in records if r["benchmark"] == "mme" and r["role"] == "answers"]
    for record, one in zip(lines, of(shared, "mme"), strict=True):
        official = score(one, "official")
        path, labels = folder / record["local"], [str(one.file)]
        found = score_answers_file("mme", {}, path, labels)
        assert (found["metrics"], found["scores"]) == (official["metrics"], official["scores"])


def check_chair(one: Recorded, family: str) -> None:
    metrics = (found := score(one, family))["metrics"]
    expected = one.expected["chair"][family]
    for name in ("CHAIRs", "CHAIRi", "Recall"):
        assert metrics[name] == expected[name], one.name
    sentences = found["sentences"]
    wrong = [sentence["mscoco_hallucinated_words"] for sentence in sentences]
    counts = {
        "captions": len(sentences),
        "hallucinating_captions": sum(map(bool, wrong)),
        "hallucinated_mentions": sum(map(len, wrong)),
        "mentions": sum(len(sentence["mscoco_generated_words"]) for sentence in sentences),
        "truth": sum(len(sentence["mscoco_gt_words"]) for sentence in sentences),
    }
    assert counts == {name: expected[name] for name in counts}, one.name
    assert metrics["Len"] * 100 == pytest.approx(expected["tokens_mean"])


@pytest.mark.parametrize("family", TRUTH)
def test_chair(shared: Path, nltk_data: Path, family: str) -> None:
    """The shortest captions, and those inside what a scorer wrote."""
    found = sorted(of(shared, "chair_coco"), key=lambda one: one.expected["words_mean"])
    inside = [one for one in found if "official_in_file" in one.expected]
    for one in [*found[: QUICK - 1], *inside[:1]]:
        check_chair(one, family)


@pytest.mark.slow
@pytest.mark.parametrize("family", TRUTH)
def test_all_of_chair(shared: Path, nltk_data: Path, family: str) -> None:
    found = of(shared, "chair_coco")
    assert len(found) >= 24
    for one in found:
        check_chair(one, family)


def pairs(shared: Path, of_what: str) -> list[dict[str, Any]]:
    expected = json.loads((shared / "data/recorded/expected.json").read_text())
    return [pair for pair in expected["mcnemar"] if pair["of"].startswith(of_what)]


def check_pair(shared: Path, pair: dict[str, Any]) -> None:
    data, protocol = shared / "data", pair["of"].split(":")[0].split()[1]
    ours, theirs = common(
        "recorded", *(readings(pair[side], data, protocol) for side in ("method", "baseline"))
    )
    benchmark = build(recorded(data)[pair["method"]].benchmark, {"protocol": protocol})
    rights = [[bool(benchmark.right(reading)) for reading in side] for side in (ours, theirs)]
    found = mcnemar(*rights)
    # fixed: the baseline is wrong and the method right
    assert (found.n, found.only_ours, found.only_theirs) == (
        pair["n"],
        pair["fixed"],
        pair["broken"],
    )
    assert found.exact == pytest.approx(pair["p_exact"], rel=1e-9)


def test_exact_mcnemar_of_pope(shared: Path) -> None:
    found = pairs(shared, "pope")
    assert len(found) >= 5
    for pair in found:
        check_pair(shared, pair)


@pytest.mark.slow
def test_exact_mcnemar_of_chair(shared: Path, nltk_data: Path) -> None:
    found = pairs(shared, "chair")
    assert len(found) >= 34
    for pair in found:
        check_pair(shared, pair)


# Formats, by hand.


def lines(path: Path, records: list[dict[str, Any]], layout: str = "lines") -> Path:
    text = json.dumps(records) if layout == "list" else "\n".join(map(json.dumps, records))
    path.write_bytes(gzip.compress(text.encode()) if layout == "gzip" else text.encode())
    return path


SPLITS = {
    "random": [("a.jpg", "dog", "yes"), ("a.jpg", "cow", "no")],
    "popular": [("a.jpg", "dog", "yes"), ("a.jpg", "car", "no"), ("b.jpg", "man", "yes")],
    "adversarial": [("a.jpg", "dog", "yes"), ("a.jpg", "cat", "no")],
}


def labels_of_three(folder: Path) -> list[str]:
    paths = []
    for split, questions in SPLITS.items():
        rows = [
            {"question_id": n, "image": image, "text": f"Is there a {name} in the image?",
             "label": label}
            for n, (image, name, label) in enumerate(questions, 1)
        ]  # fmt: skip
        paths.append(str(lines(folder / f"coco_pope_{split}.json", rows)))
    return paths


def all_yes(first: dict[str, int], order: tuple[str, ...], **extra: Any) -> list[dict[str, Any]]:
    """Yes to every question of the splits in this order, each counted from its first id."""
    return [
        {"question_id": first[split] + n, "prompt": f"Is there a {name} in the image? One word.",
         "text": "Yes"} | dict.fromkeys(extra, split)
        for split in order for n, (_, name, _) in enumerate(SPLITS[split])
    ]  # fmt: skip


ORDER = ("adversarial", "popular", "random")
STARTS = [
    {"adversarial": 1, "popular": 1, "random": 1},
    {"adversarial": 0, "popular": 0, "random": 0},
    {"adversarial": 1, "popular": 20000001, "random": 10000001},
    {"adversarial": 0, "popular": 2, "random": 5},  # on through all splits: 2 and 3 questions
    {"adversarial": 1, "popular": 3, "random": 6},
]


@pytest.mark.parametrize("first", STARTS)
@pytest.mark.parametrize("layout", ["lines", "list", "gzip"])
def test_one_file_of_three_splits(tmp_path: Path, first: dict[str, int], layout: str) -> None:
    labels = labels_of_three(tmp_path)
    path = lines(tmp_path / "answers.json", all_yes(first, ORDER), layout)
    for given in (labels, labels[::-1], [str(tmp_path)]):
        metrics = score_answers_file("pope_coco", {}, path, given)["metrics"]
        assert [metrics[split]["TP"] for split in ORDER] == [1, 2, 1]
        assert [metrics[split]["FP"] for split in ORDER] == [1, 1, 1]
        assert metrics["mean F1 score"] == pytest.approx((2 / 3 + 4 / 5 + 2 / 3) / 3)


def test_splits_that_answers_name_need_no_questions(tmp_path: Path) -> None:
    labels = labels_of_three(tmp_path)
    asked = all_yes(STARTS[0], ORDER, category=True)
    asked = [{k: v for k, v in row.items() if k != "prompt"} for row in asked]
    mixed = [row for n in range(3) for row in asked if row["question_id"] == n + 1]
    found = score_answers_file("pope_coco", {}, lines(tmp_path / "a.jsonl", mixed), labels)
    assert found["metrics"]["popular"]["TP"] == 2
    bare = [{k: v for k, v in row.items() if k != "category"} for row in asked]
    with pytest.raises(UserError, match="have as many questions, and no answer says its split"):
        score_answers_file("pope_coco", {}, lines(tmp_path / "b.jsonl", bare), labels)


@pytest.mark.parametrize("start", [0, 1, 3001])
def test_ids_of_one_split_may_start_anywhere(tmp_path: Path, start: int) -> None:
    labels = labels_of_three(tmp_path)[1:2]
    rows = [{"question_id": start + n, "response": "no"} for n in range(3)]
    found = score_answers_file("pope_coco", {}, lines(tmp_path / "a.jsonl", rows), labels)
    assert (found["metrics"]["TN"], found["metrics"]["FN"]) == (1, 2)
    said = f"ids {start} to {start + 2} answer coco_pope_popular.json, which counts from 1"
    assert (said in found["notes"]) == (start != 1)


def test_ids_that_start_in_the_middle_are_an_error(tmp_path: Path) -> None:
    labels = labels_of_three(tmp_path)[1:2]
    rows = [{"question_id": 3 + n, "response": "no"} for n in range(3)]
    with pytest.raises(UserError, match="answers question 4, which is not asked"):
        score_answers_file("pope_coco", {}, lines(tmp_path / "a.jsonl", rows), labels)


def test_an_answer_about_another_image_is_an_error(tmp_path: Path) -> None:
    labels = labels_of_three(tmp_path)[2:]
    rows = [{"question_id": n, "answer": "no", "image": "b.jpg"} for n in (1, 2)]
    with pytest.raises(UserError, match=r"line 1: is about 'b.jpg', but .* about 'a.jpg'"):
        score_answers_file("pope_coco", {}, lines(tmp_path / "a.jsonl", rows), labels)


@pytest.mark.parametrize("name", ["caption", "text", "response", "answer"])
@pytest.mark.parametrize(
    "image", [139, "139", "000000000139.jpg", "COCO_val2014_000000000139.jpg", "val2014/139.jpg"]
)
def test_captions_under_any_name(
    shared: Path, nltk_data: Path, tmp_path: Path, name: str, image: Any
) -> None:
    truth = tmp_path / "truth.json"
    truth.write_text('{"139": ["dog"]}')
    caption = {name: "A dog and a cat.", "prompt": "Describe."}
    tables = {"tables": str(shared / "data/coco/chair_tables.json")}
    for records in (
        [{"image_id": image, **caption}],
        [{"image": image, **caption}],
        [{"sentences": [{"image_id": image, **caption}], "overall_metrics": {"CHAIRs": 1.0}}],
    ):
        path = lines(tmp_path / "captions.json", records)
        found = score_answers_file("chair_coco", tables, path, (), truth)
        assert (found["metrics"]["CHAIRi"], found["metrics"]["Recall"]) == (0.5, 1)


def test_two_answers_in_a_record_are_an_error(tmp_path: Path) -> None:
    truth = tmp_path / "truth.json"
    truth.write_text('{"139": ["dog"]}')
    rows = [{"image_id": 139, "text": "A dog.", "response": "A cat."}]
    path = lines(tmp_path / "a.jsonl", rows)
    with pytest.raises(UserError, match="'text' and 'response' differ; keep the one that the mod"):
        score_answers_file("chair_coco", {}, path, (), truth)


def mme_questions(folder: Path) -> Path:
    """Twenty images of text translation, two questions each, as the evaluation tool has them."""
    folder.mkdir()
    rows = [
        f"{n:04d}.png\tIs it {'one' if yes else 'two'}? Please answer yes or no.\t{yes}"
        for n in range(20)
        for yes in ("Yes", "")
    ]
    text = "\n".join(row if row.endswith("Yes") else f"{row}No" for row in rows)
    (folder / "text_translation.txt").write_text(text)
    return folder


def mme_lines(request: str = "\nAnswer the question using a single word or phrase.") -> list[Any]:
    return [
        {"question_id": f"text_translation/{n:04d}.png", "prompt": f"Is it {word}?{request}",
         "text": "Yes"}
        for word in ("two", "one") for n in range(20)
    ]  # fmt: skip


def test_llavas_lines_may_stand_in_any_order(tmp_path: Path) -> None:
    labels = [str(mme_questions(tmp_path / "questions"))]
    for request in ("", " Please answer yes or no.", "\nAnswer the question using a single word "
                    "or phrase."):  # fmt: skip
        path = lines(tmp_path / "a.jsonl", mme_lines(request))
        part = score_answers_file("mme", {}, path, labels)["metrics"]["text_translation"]
        assert (part["acc"], part["acc_plus"], part["TP"], part["FP"]) == (0.5, 0, 20, 20)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[1:], r"text_translation/0000.png has no answer to 'Is it two\?"),
        (lambda rows: [*rows, rows[0]], "line 41: answers a question again, first at .* line 1"),
        (lambda rows: [*rows, rows[0] | {"prompt": "Why?"}], r"'why\?' is not asked about 0000"),
        (lambda rows: [rows[0] | {"question_id": "7.png"}], "does not start with a subtask of MME"),
    ],
)
def test_wrong_llava_lines_are_named(tmp_path: Path, change: Any, message: str) -> None:
    labels = [str(mme_questions(tmp_path / "questions"))]
    path = lines(tmp_path / "a.jsonl", change(mme_lines()))
    with pytest.raises(UserError, match=message):
        score_answers_file("mme", {}, path, labels)
    with pytest.raises(UserError, match=r"give --labels: MME's release, or the <subtask>"):
        score_answers_file("mme", {}, path)


def test_answers_to_the_older_random_split_name_it(shared: Path, tmp_path: Path) -> None:
    labels = [str(shared / "data/pope/coco_pope_random.json")]
    rows = [{"question_id": n, "answer": "no"} for n in range(1, 2911)]
    path = lines(tmp_path / "a.jsonl", rows)
    with pytest.raises(UserError, match="2910 answers to 3000 questions: POPE's random split has"):
        score_answers_file("pope_coco", {}, path, labels)


def test_two_label_files_of_one_split_are_an_error(tmp_path: Path) -> None:
    labels = labels_of_three(tmp_path)
    (tmp_path / "my_popular.json").write_bytes((tmp_path / "coco_pope_popular.json").read_bytes())
    path = lines(tmp_path / "a.jsonl", all_yes(STARTS[0], ORDER))
    with pytest.raises(UserError, match=r"coco_pope_popular\.json is of the popular split too"):
        score_answers_file("pope_coco", {}, path, [*labels, str(tmp_path / "my_popular.json")])
    with pytest.raises(UserError, match=r"a\.jsonl: its name says no split"):
        score_answers_file("pope_coco", {}, path, [*labels, str(path)])
    folder = tmp_path / "empty"
    folder.mkdir()
    with pytest.raises(UserError, match=r"empty: has no coco_pope_random\.json or other split"):
        score_answers_file("pope_coco", {}, path, [str(folder)])


def test_mmes_own_files_may_be_gzipped(tmp_path: Path) -> None:
    labels = mme_questions(tmp_path / "questions")
    text = (labels / "text_translation.txt").read_text()
    answered = "\n".join(f"{line}\tYes" for line in text.split("\n"))
    folder = tmp_path / "answers"
    folder.mkdir()
    (folder / "text_translation.txt.gz").write_bytes(gzip.compress(answered.encode()))
    part = score_answers_file("mme", {}, folder)["metrics"]["text_translation"]
    assert (part["TP"], part["FP"]) == (20, 20)
