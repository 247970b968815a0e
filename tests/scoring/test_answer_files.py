from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest

from halluc.data.records import json_of, rows
from halluc.errors import UserError
from halluc.scoring.answer_files import AnswerFiles
from halluc.scoring.base import REGISTRY
from halluc.scoring.rescoring import score_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def scored(name: str, files: AnswerFiles, **options: Any) -> dict[str, Any]:
    return score_files(REGISTRY.get(name)(**options), files, draws=50)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[list[Any]], Path]:
    def write(records: list[Any]) -> Path:
        path = tmp_path / "answers.jsonl"
        path.write_text("\n".join(json.dumps(record) for record in records) + "\n")
        return path

    return write


def no_to_all(n: int) -> list[dict[str, Any]]:
    return [{"question_id": number, "answer": "No."} for number in range(1, n + 1)]


class TestPope:
    def test_910_real_answers_under_official_names(self, shared: Path) -> None:
        golden = shared / "golden/pope"
        result = scored(
            "pope_coco",
            AnswerFiles(
                golden / "llava15_random910_answers.jsonl",
                golden / "llava15_random910_labels.jsonl",
            ),
        )
        metrics = result["metrics"]
        assert [metrics[cell] for cell in ("TP", "FP", "TN", "FN")] == [413, 50, 405, 42]
        assert metrics["Accuracy"] == pytest.approx(0.8989010989, abs=1e-10)
        assert metrics["F1 score"] == pytest.approx(0.8997821351, abs=1e-10)
        assert metrics["Yes ratio"] == pytest.approx(0.5087912088, abs=1e-10)
        assert (result["n"], result["unparseable"], result["protocol"]) == (910, 0, "official")

    @pytest.mark.parametrize("name", ["coco_pope_popular", "gqa_pope_random", "aokvqa_pope_random"])
    def test_whole_question_files(self, shared: Path, write: Any, name: str) -> None:
        files = AnswerFiles(write(no_to_all(3000)), shared / f"data/pope/{name}.json")
        result = scored(name.rsplit("_", 1)[0].split("_")[1] + "_" + name.split("_")[0], files)
        assert result["metrics"]["Accuracy"] == 0.5
        assert result["metrics"]["Precision"] is None  # never said yes: the official one crashes
        assert (result["n"], result["n_images"]) == (3000, 500)
        assert f"{name.rsplit('_', 1)[1]}/accuracy" in result["scores"]

    def test_repope_leaves_questions_out(self, shared: Path, write: Any, tmp_path: Path) -> None:
        labels = shared / "data/pope/coco_repope_popular.json"
        result = scored("pope_coco", AnswerFiles(write(no_to_all(3000)), labels))
        assert result["n"] == 2727
        assert result["metrics"]["TN"] == 1534
        assert result["notes"] == [
            "273 answers have no label in coco_repope_popular.json and are left out"
        ]
        corrected = [json.loads(line) for line in labels.read_text().splitlines()]
        asked = [{"question_id": row["question_id"], "answer": "No."} for row in corrected]
        same = scored("pope_coco", AnswerFiles(write(asked), labels))  # RePOPE itself was run
        assert same["metrics"] == result["metrics"]
        part = tmp_path / "part_popular.json"
        part.write_text("\n".join(json.dumps(r) for r in corrected if r["question_id"] <= 910))
        assert scored("pope_coco", AnswerFiles(write(no_to_all(910)), part))["n"] < 910

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda a: a[:910], "line 840: question 911 has no answer; are the answers truncated"),
            (lambda a: [a[1], a[0], *a[2:]], "line 1: answers question 2, not 1; is it reord"),
            (lambda a: a[:10] + a[11:], "line 11: answers question 12, not 11"),
            (lambda a: [*a, {"question_id": 9999, "answer": ""}], "line 3001: answers question 99"),
            (lambda a: [*a, a[0]], "line 3001: answers question 1, not 3001"),
            (lambda a: [{**a[0], "question": "Is there a cow?"}, *a[1:]], "line 1: answers 'Is"),
        ],
    )
    def test_wrong_answers_to_repope(
        self, shared: Path, write: Any, change: Any, message: str
    ) -> None:
        labels = shared / "data/pope/coco_repope_popular.json"
        with pytest.raises(UserError, match=message):
            scored("pope_coco", AnswerFiles(write(change(no_to_all(3000))), labels))

    def test_labels_of_another_split_or_altered(
        self, shared: Path, write: Any, tmp_path: Path
    ) -> None:
        labels = shared / "data/pope/coco_repope_popular.json"
        with pytest.raises(UserError, match=r"is not named after gqa_pope; another POPE's labels"):
            scored("pope_gqa", AnswerFiles(write(no_to_all(3000)), labels))
        answers = write(no_to_all(3000)).rename(tmp_path / "llava_random.jsonl")
        with pytest.raises(UserError, match="are named after different splits of POPE"):
            scored("pope_coco", AnswerFiles(answers, labels))
        altered = tmp_path / "coco_repope_popular.json"
        altered.write_text(labels.read_text().replace('"yes"', '"no"', 1))
        with pytest.raises(UserError, match="RePOPE has published 57832b055bae"):
            scored("pope_coco", AnswerFiles(write(no_to_all(3000)), altered))

    def test_labels_may_stand_in_the_answers(self, write: Any) -> None:
        answers = [{"ans": "yes", "label": "yes"}, {"ans": "no", "label": "yes"}]
        result = scored("pope_coco", AnswerFiles(write(answers)))
        assert result["metrics"]["Recall"] == 0.5
        assert result["notes"][0].startswith("labels are in the answers")

    def test_pais_answers_to_conversations(self, tmp_path: Path, write: Any) -> None:
        """A line a turn: labels are numbers, and the question is the conversation so far."""
        turns = [("Is there a dog in the image?", "yes"), ("Is there an ox in the image?", "no")]
        answers, said = [], "USER: <ImageHere> "
        for question, label in turns:
            said += f"{question} ASSISTANT:"
            answers.append(
                {
                    "query": question,
                    "label": int(label == "yes"),
                    "ans": f"{label}.",
                    "question": said,
                    "file_path": "pope_eval_random",
                }
            )
            said += f"{label}.</s>USER: "
        metrics = scored("pope_coco", AnswerFiles(write(answers)), protocol="opera", chat=True)
        assert [metrics["metrics"][cell] for cell in ("TP", "TN", "FP", "FN")] == [1, 1, 0, 0]
        labels = tmp_path / "coco_pope_random.json"
        rows = [
            {"question_id": n, "image": "i", "text": text, "label": label}
            for n, (text, label) in enumerate(turns, 1)
        ]
        labels.write_text("\n".join(map(json.dumps, rows)))
        files = AnswerFiles(write(answers), labels)
        found = scored("pope_coco", files, protocol="opera", chat=True)
        assert found["metrics"] == metrics["metrics"]
        assert (found["n_images"], found["notes"]) == (
            1,
            ["no question ids: answers are paired with questions by line"],
        )

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda a: a[:-1], "2999 answers to 3000 questions: 3000"),
            (lambda a: [a[1], a[0], *a[2:]], "line 2: answers question 1 out of order"),
            (lambda a: [*a, a[0]], "line 3001: answers question 1 again"),
            (lambda a: [*a[:-1], {"question_id": 9999, "answer": ""}], "line 3000: answers quest"),
            (lambda a: [{"question_id": 1}, *a[1:]], "line 1: needs 'answer' or 'ans' or 'text'"),
            (lambda a: a[:10] + a[11:], "11 .* has none"),
            (lambda a: [{**a[0], "answer": None}, *a[1:]], "line 1: 'answer' is None, not a text"),
            (lambda a: [{**a[0], "question": "Is there a cow?"}, *a[1:]], "line 1: answers 'Is"),
        ],
    )
    def test_a_wrong_line_is_named(
        self, shared: Path, write: Any, change: Any, message: str
    ) -> None:
        labels = shared / "data/pope/coco_pope_popular.json"
        with pytest.raises(UserError, match=message):
            scored("pope_coco", AnswerFiles(write(change(no_to_all(3000))), labels))

    def test_wordings_and_ids_of_other_variants_are_the_same_question(
        self, tmp_path: Path, write: Any
    ) -> None:
        labels = tmp_path / "labels.json"
        labels.write_text(
            '{"question_id": 1, "text": "Is there an ox in the imange?", "label": "no"}'
        )
        answer = {
            "question_id": "1",
            "prompt": "Is there an ox in the image? One word.",
            "text": "No",
        }
        assert scored("pope_coco", AnswerFiles(write([answer]), labels))["metrics"]["TN"] == 1

    def test_answers_without_ids_are_counted(self, shared: Path, write: Any) -> None:
        labels = shared / "data/pope/coco_pope_popular.json"
        answers = [{"answer": "No"}] * 3000
        assert scored("pope_coco", AnswerFiles(write(answers), labels))["n"] == 3000
        with pytest.raises(UserError, match="2999 answers to 3000"):
            scored("pope_coco", AnswerFiles(write(answers[:-1]), labels))

    def test_labels_are_asked_for(self, tmp_path: Path, write: Any) -> None:
        with pytest.raises(UserError, match="give --labels"):
            scored("pope_coco", AnswerFiles(write(no_to_all(2))))
        with pytest.raises(UserError, match="no such file"):
            scored("pope_coco", AnswerFiles(write(no_to_all(2)), tmp_path / "nowhere"))
        maybe = tmp_path / "labels.json"
        maybe.write_text('{"question_id": 1, "text": "?", "label": "maybe"}')
        with pytest.raises(UserError, match="'maybe' is neither yes nor no"):
            scored("pope_coco", AnswerFiles(write(no_to_all(1)), maybe))


class TestMme:
    def test_lavin(self, shared: Path) -> None:
        result = scored("mme", AnswerFiles(shared / "golden/mme"))
        parts = {name: part["score"] for name, part in result["metrics"].items() if part}
        assert parts == pytest.approx(
            {
                "existence": 185,
                "count": 88.333333333,
                "position": 63.333333333,
                "color": 75,
                "posters": 79.5918367347,
                "commonsense_reasoning": 87.1428571429,
            }
        )
        assert result["metrics"]["perception"] is None  # four of its subtasks are not there
        assert result["metrics"]["commonsense_reasoning"]["other_num"] == 11
        assert result["unparseable"] == 11
        assert "no answers to celebrity" in result["notes"][0]
        subset = scored("mme_hallucination", AnswerFiles(shared / "golden/mme"))
        assert subset["metrics"]["total"] == pytest.approx(411.6666666667)

    def test_precision_and_recall_leave_out_what_cannot_be_read(self, shared: Path) -> None:
        path = shared / "golden/mme/lavin_commonsense_reasoning.txt"
        part = scored("mme", AnswerFiles(path))["metrics"]["commonsense_reasoning"]
        assert sum(part[cell] for cell in ("TP", "FP", "TN", "FN", "other_num")) == 140
        assert part["precision"] == part["TP"] / (part["TP"] + part["FP"])

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda lines: lines[:-2], "58 lines, existence has 60"),
            (lambda lines: [*lines[1:], lines[0]], "line 2: .* lines are not in pairs"),
            (lambda lines: [lines[0].rsplit("\t", 1)[0], *lines[1:]], "line 1: 3 fields"),
            (lambda lines: [lines[0].replace("\tYes\t", "\tYep\t"), *lines[1:]], "'Yep' is neith"),
        ],
    )
    def test_a_wrong_mme_line_is_named(
        self, shared: Path, tmp_path: Path, change: Any, message: str
    ) -> None:
        lines = (shared / "golden/mme/lavin_existence.txt").read_text().splitlines()
        (tmp_path / "existence.txt").write_text("\n".join(change(lines)))
        with pytest.raises(UserError, match=message):
            scored("mme", AnswerFiles(tmp_path))

    def test_files_that_are_no_subtask(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"has no <subtask>\.txt"):
            scored("mme", AnswerFiles(tmp_path))
        (tmp_path / "exist.txt").write_text("")
        with pytest.raises(UserError, match="not named after a subtask"):
            scored("mme", AnswerFiles(tmp_path))


class TestAmber:
    def test_always_no(self, shared: Path, tmp_path: Path, cache: Path) -> None:
        labels = shared / "data/amber/annotations.json"
        records = json.loads(labels.read_text())
        answers = [{"id": r["id"], "response": "No"} for r in records if r["type"] != "generative"]
        path = tmp_path / "answers.json"
        path.write_text(json.dumps(answers))
        result = scored("amber_discriminative", AnswerFiles(path, labels))
        assert result["metrics"]["discriminative"] == {
            "Accuracy": 66.3,
            "Precision": 66.3,
            "Recall": 100.0,
            "F1": 79.7,
        }
        assert result["metrics"]["relation"]["F1"] == 58.6
        assert (result["n"], result["n_images"]) == (14216, 1004)
        for broken, message in (
            (answers[:-1], "relation have no answer, first id 15220"),
            ([*answers, answers[0]], "line 1 record 14217: id 1005 again, first at .* line 1$"),
            ([*answers, {"id": 99999, "response": "No"}], "record 14217: answers question 99999"),
            ([{"id": 1005}], "needs 'response'"),
        ):
            path.write_text(json.dumps(broken))
            with pytest.raises(UserError, match=message):
                scored("amber_discriminative", AnswerFiles(path, labels))

    def test_sums_over_what_is_not_answered_are_left_out(
        self, shared: Path, tmp_path: Path, cache: Path
    ) -> None:
        labels = shared / "data/amber/annotations.json"
        records = json.loads(labels.read_text())
        answers = [
            {"id": str(r["id"]), "response": "No"} for r in records if r["type"].endswith("state")
        ]
        path = tmp_path / "answers.json"
        path.write_text(json.dumps(answers))
        result = scored("amber_discriminative", AnswerFiles(path, labels))
        assert list(result["metrics"]) == ["state"]
        assert "no answers to action, existence, number, relation: sums" in result["notes"][0]

    def test_wrong_annotations(self, tmp_path: Path, cache: Path) -> None:
        labels, path = tmp_path / "annotations.json", tmp_path / "answers.json"
        path.write_text('[{"id": 1, "response": "No"}]')
        for annotation, message in (
            (
                {"id": 1, "type": "relations", "truth": "no"},
                "type 'relations' is not one of AMBER's",
            ),
            ({"id": 1, "type": "relation", "truth": "No"}, "truth 'No' is neither yes nor no"),
            ({"id": 1, "type": "generative", "truth": "dog", "hallu": []}, "not a list of texts"),
            ({"id": "one", "type": "relation", "truth": "no"}, "'one', not a whole number"),
        ):
            labels.write_text(json.dumps([annotation]))
            with pytest.raises(UserError, match=message):
                scored("amber_discriminative", AnswerFiles(path, labels))

    def test_descriptions_name_the_similarity(
        self, shared: Path, nltk_data: Path, tmp_path: Path, cache: Path
    ) -> None:
        labels = shared / "data/amber/annotations.json"
        records = json.loads(labels.read_text())
        answers = [
            {"id": r["id"], "response": f"There is a {r['truth'][0]} here."}
            for r in records
            if r["type"] == "generative"
        ]
        path = tmp_path / "answers.json"
        path.write_text(json.dumps(answers))
        from halluc.benchmarks.amber import AmberGenerative
        from halluc.scoring.amber.metric import exact

        named = scored("amber_generative", AnswerFiles(path, labels))
        assert any(note.startswith("similarity:") for note in named["notes"])
        result = score_files(AmberGenerative(alike=exact), AnswerFiles(path, labels), draws=0)
        assert result["metrics"]["generative"]["CHAIR"] < 10
        assert result["n"] == 1004


class TestChair:
    @pytest.mark.parametrize(
        ("family", "truth"), [("pattern", "gt_pattern_full"), ("wordnet", "gt_lemmatizer_full")]
    )
    def test_real_captions(self, shared: Path, nltk_data: Path, family: str, truth: str) -> None:
        files = AnswerFiles(
            shared / "golden/chair/captions_instructblip_greedy.jsonl",
            ground_truth=shared / f"data/coco/{truth}.json.gz",
        )
        result = scored("chair_coco", files, protocol=family)
        golden = json.loads(
            (shared / f"golden/chair/{family}_instructblip_greedy.json").read_text()
        )
        for name, value in golden["overall"].items():
            assert result["metrics"][name] == value
        by_image = {str(row["image_id"]): row for row in golden["per_caption"]}
        assert len(result["sentences"]) == 500
        for sentence in result["sentences"]:
            want = by_image[sentence["image_id"]]
            assert sentence["mscoco_generated_words"] == want["generated"]
            assert sentence["mscoco_hallucinated_words"] == want["hallucinated"]
            assert sentence["hallucination_idxs"] == want["hall_idxs"]
            for name, value in sentence["metrics"].items():
                assert value == want["metrics"][name]

    def test_truth_from_cocos_own_files(
        self, shared: Path, nltk_data: Path, tmp_path: Path, write: Any
    ) -> None:
        images = [{"id": 7, "file_name": "COCO_val2014_000000000007.jpg"}]
        instances = {
            "images": images,
            "annotations": [{"id": 1, "image_id": 7, "category_id": 1, "iscrowd": 1}],
            "categories": [{"id": 1, "name": "bus"}],
        }
        captions = {"images": images, "annotations": [{"id": 2, "image_id": 7, "caption": "A man"}]}
        folder = tmp_path / "annotations"
        folder.mkdir()
        (folder / "instances_val2014.json").write_text(json.dumps(instances))
        (folder / "captions_val2014.json").write_text(json.dumps(captions))
        answers = write([{"image_id": 7, "caption": "A woman and a dog beside buses."}])
        result = scored(
            "chair_coco",
            AnswerFiles(answers, ground_truth=folder),
            tables=shared / "data/coco/chair_tables.json",
        )
        assert result["metrics"]["CHAIRi"] == pytest.approx(1 / 3)
        assert result["metrics"]["Recall"] == 1
        assert result["sentences"][0]["mscoco_gt_words"] == ["bus", "person"]

    def test_coco_captions_own_format(
        self, shared: Path, nltk_data: Path, tmp_path: Path, write: Any
    ) -> None:
        truth = tmp_path / "truth.json"
        truth.write_text('{"7": ["dog"], "8": []}')
        captions = {
            "7": {"image_id": 7, "caption": "A dog."},
            "8": {"image_id": 8, "caption": "A cat."},
        }
        answers = write([{"overall": {}, "imgToEval": captions}])
        files = AnswerFiles(answers, ground_truth=truth)
        result = scored("chair_coco", files, tables=shared / "data/coco/chair_tables.json")
        assert result["metrics"]["CHAIRs"] == 0.5

    def test_64_tokens_are_cut_after_the_last_full_stop(
        self, shared: Path, nltk_data: Path, tmp_path: Path, write: Any
    ) -> None:
        truth = tmp_path / "truth.json"
        truth.write_text('{"7": ["dog"]}')
        answers = write([{"image_id": 7, "caption": "A dog. Beside it is a cat and"}])
        files = AnswerFiles(answers, ground_truth=truth)
        tables = shared / "data/coco/chair_tables.json"
        assert scored("chair_coco", files, tables=tables)["metrics"]["CHAIRs"] == 1
        assert scored("chair_coco_64", files, tables=tables)["metrics"]["CHAIRs"] == 0

    @pytest.mark.parametrize(
        ("records", "message"),
        [
            ([{"image_id": 8, "caption": ""}], "line 1: image 8 is not in"),
            ([{"image_id": 7, "caption": ""}] * 2, "line 2: id '7' again"),
            ([{"image_id": 7}], "line 1: needs 'caption'"),
        ],
    )
    def test_a_wrong_caption_line_is_named(
        self, shared: Path, tmp_path: Path, write: Any, records: list[Any], message: str
    ) -> None:
        truth = tmp_path / "truth.json"
        truth.write_text('{"7": ["dog"]}')
        with pytest.raises(UserError, match=message):
            scored(
                "chair_coco",
                AnswerFiles(write(records), ground_truth=truth),
                tables=shared / "data/coco/chair_tables.json",
            )
        with pytest.raises(UserError, match="give --ground-truth"):
            scored("chair_coco", AnswerFiles(write(records)))


class TestHallusionBench:
    def records(self, shared: Path) -> list[dict[str, Any]]:
        records = json.loads((shared / "data/HallusionBench.json").read_text())
        return [{**record, "model_prediction": "Yes"} for record in records]

    def test_official_names(self, shared: Path, tmp_path: Path) -> None:
        labels = shared / "data/HallusionBench.json"
        path = tmp_path / "answers.json"
        path.write_text(json.dumps(self.records(shared)))
        result = scored("hallusionbench", AnswerFiles(path, labels))
        assert result["protocol"] == "rules"
        metrics = result["metrics"]
        assert [metrics[name] for name in ("aAcc", "qAcc", "fAcc", "easy aAcc", "hard aAcc")] == [
            42.8698,
            3.956,
            7.2254,
            46.3736,
            34.186,
        ]
        assert metrics["Yes/No Bias (Pct Diff)"] == 0.5713020372010629

    def test_verdicts_in_the_file_need_no_judge(self, shared: Path, tmp_path: Path) -> None:
        records = [{**r, "gpt4v_output_gpt_check": "1", "same": "1"} for r in self.records(shared)]
        path = tmp_path / "answers.json"
        path.write_text(json.dumps(records))
        result = scored("hallusionbench", AnswerFiles(path), protocol="official")
        assert result["metrics"]["aAcc"] == 100
        rules = scored("hallusionbench", AnswerFiles(path), protocol="rules")
        assert rules["metrics"]["aAcc"] == 42.8698  # the same answers by rule
        for name, value in (("gpt4v_output_gpt_check", "right"), ("same", "2")):
            path.write_text(json.dumps([{**records[0], name: value}, *records[1:]]))
            with pytest.raises(UserError, match=f"line 1: {name} '{value}' is not one of"):
                scored("hallusionbench", AnswerFiles(path), protocol="official")

    def test_questions_with_a_figure_are_whole_too(self, shared: Path, tmp_path: Path) -> None:
        labels = shared / "data/HallusionBench.json"
        figures = [r for r in self.records(shared) if r["visual_input"] != "0"]
        path = tmp_path / "answers.json"
        path.write_text(json.dumps(figures))
        for files in (AnswerFiles(path), AnswerFiles(path, labels)):
            assert scored("hallusionbench", files)["n"] == 951
        path.write_text(json.dumps(figures[:-1]))
        with pytest.raises(UserError, match=r"is answer 950 of 1129, or of 951 with a figure"):
            scored("hallusionbench", AnswerFiles(path))
        with pytest.raises(UserError, match=r"950 answers to 951 questions"):
            scored("hallusionbench", AnswerFiles(path, labels))

    def test_errors(self, shared: Path, tmp_path: Path) -> None:
        labels = shared / "data/HallusionBench.json"
        records = self.records(shared)
        path = tmp_path / "answers.json"
        other = {**records[0], "gt_answer": "1"}
        unknown = {**records[0], "set_id": "999"}
        for broken, message in (
            (records[:-1], "1128 answers to 1129 questions"),
            ([*records, records[0]], "again, first at"),
            ([other, *records[1:]], "has another gt_answer"),
            ([*records, unknown], "is not in"),
        ):
            path.write_text(json.dumps(broken))
            with pytest.raises(UserError, match=message):
                scored("hallusionbench", AnswerFiles(path, labels))
        path.write_text(json.dumps(records))
        with pytest.raises(UserError, match=r"needs --judge .* --protocol rules"):
            scored("hallusionbench", AnswerFiles(path), protocol="official")


def test_rows_of_every_layout(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    for text in (
        '{"a": 1}\r\n\r\n{"a": 2}\r\n',
        '[\n {"a": 1},\n {"a": 2}\n]',
        '{"a":\n1}{"a": 2}',
    ):
        path.write_text(text)
        assert [row["a"] for row in rows(path)] == [1, 2]
    for text, message in (
        ("", "is empty"),
        ('{"a": 1}\n{"a": ', "line 2: not JSON"),
        ('[{"a": 1},\n{"a": 2}', "not closed"),
        ("[1]", "line 1: is not a JSON object"),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=message):
            rows(path)


def test_a_truncated_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / "truth.json.gz"
    whole = gzip.compress(b'{"7": ["dog"]}')
    path.write_bytes(whole)
    assert json_of(path, dict) == {"7": ["dog"]}
    for part in (whole[:-5], whole[:15], whole[:12] + b"spoiled", b"no archive"):
        path.write_bytes(part)
        with pytest.raises(UserError, match=r"truth.json.gz: cannot be read"):
            json_of(path, dict)


def test_benchmarks_without_a_format_say_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="glyph_pope: does not have an answers format of its own"):
        scored("glyph_pope", AnswerFiles(tmp_path))
