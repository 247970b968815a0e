"""One's own data: a folder with images and a table, or COCO's annotations, becomes a benchmark."""

from __future__ import annotations

import csv
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from halluc.benchmarks.caption import OwnCaption
from halluc.benchmarks.choice import OwnChoice
from halluc.benchmarks.own_chair import OwnChair
from halluc.benchmarks.own_mme import OwnMme
from halluc.benchmarks.own_pope import OwnPope
from halluc.benchmarks.yes_no import OwnYesNo
from halluc.cli.app import app
from halluc.errors import UserError
from halluc.scoring.base import REGISTRY
from halluc.scoring.building import benchmark_names, build, by_benchmark, folders, one_benchmark
from halluc.scoring.scores import score
from halluc.store import RunFolder, find_scored
from halluc.sweep.sweep_config import SweepConfig
from halluc.types import Answer
from halluc.world.coco_annotations import coco
from halluc.world.language import exists
from halluc.world.rendering import render
from halluc.world.scenes import scene
from tests.benchmarks import tiny_run
from tests.benchmarks.hub import picture

pytestmark = pytest.mark.usefixtures("cache")
PAGE = Path(__file__).parents[2] / "docs/own-data.md"
SCENES = [index for index in range(60) if len(scene("test", index).categories) >= 3][:20]


def folder(place: Path, table: str, name: str = "table.csv", images: tuple[str, ...] = ()) -> Path:
    """Write a table, and 1.png and 2.png or other images, into a folder."""
    place.mkdir(parents=True, exist_ok=True)
    for image in images or ("1.png", "2.png"):
        (place / image).parent.mkdir(parents=True, exist_ok=True)
        (place / image).write_bytes(picture())
    (place / name).parent.mkdir(exist_ok=True)
    (place / name).write_text(table)
    return place


def drawn(place: Path, annotated: bool) -> Path:
    """Write 20 drawn scenes with a table of two questions each, or with COCO's annotations."""
    (place / "images").mkdir(parents=True)
    for index in SCENES:
        one = scene("test", index)
        render(one).save(place / "images" / one.file_name)
    if annotated:
        for name, content in zip(("instances", "captions"), coco("test", SCENES), strict=True):
            (place / f"{name}_mine.json").write_text(json.dumps(content))
        return place
    with (place / "questions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "question", "answer"])
        for index in SCENES:
            one = scene("test", index)
            absent = next(n for n in ("elephant", "dog") if n not in one.categories)
            writer.writerow([one.file_name, exists(one.categories[0]), "yes"])
            writer.writerow([one.file_name, exists(absent), "No"])
    return place


def command(*arguments: str) -> str:
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.exception or done.output
    return done.output


def said(question: str, reply: str, benchmark: OwnYesNo) -> Any:
    (sample, *_) = (s for s in benchmark.samples() if question in s.prompt)
    return benchmark.predict(Answer.of(sample, text=reply))


class TestCommand:
    def test_a_csv_of_twenty_images_is_a_benchmark_in_one_command(self, tmp_path: Path) -> None:
        photos, runs = drawn(tmp_path / "my photos", annotated=False), tmp_path / "runs"
        output = command(
            "eval", "--benchmarks", f"yes_no:{photos}", "--output-dir", str(runs), "--no-share"
        )
        assert "yes_no-my_photos on glyph: 40 answers about 20" in " ".join(output.split())
        (place,) = (path for path in runs.iterdir() if path.is_dir())
        (scored,) = find_scored(RunFolder.read(place))
        asked = scored.scores.asked
        assert (asked.benchmark, asked.dataset) == ("yes_no-my_photos", "files of one's own")
        assert asked.dataset_revision == OwnYesNo(folder=photos).revision
        assert (scored.scores.values["accuracy"].value or 0) > 0.7  # glyph looks
        # a changed table is noticed: its revision and the key of what is asked are others
        table = photos / "questions.csv"
        table.write_text(table.read_text().replace(",No", ",yes", 1))
        command("eval", "--benchmarks", f"yes_no:{photos}", "--output-dir", str(runs))
        found = list(find_scored(RunFolder.read(place)))
        assert len({one.scores.asked.dataset_revision for one in found}) == 2
        assert len((place / "answers_yes_no-my_photos.jsonl").read_text().splitlines()) == 40
        # and kept answers are scored again without the options being typed again
        command("score", str(place), "--protocol", "all")
        assert len(list(find_scored(RunFolder.read(place)))) > 6

    def test_cocos_annotations_are_three_benchmarks_in_one_command(self, tmp_path: Path) -> None:
        mine, runs = drawn(tmp_path / "mine", annotated=True), tmp_path / "runs"
        names = ",".join(f"{kind}:{mine}" for kind in ("own_pope", "own_mme", "own_chair"))
        args = ("--limit", "2", "--output-dir", str(runs))
        command("eval", "--benchmarks", names, "--benchmark-args", "own_pope.seed=3", *args)
        (place,) = (path for path in runs.iterdir() if path.is_dir())
        scored = {one.name: one.scores for one in find_scored(RunFolder.read(place))}
        assert set(scored) == {"own_pope-mine", "own_mme-mine", "own_chair-mine"}
        assert scored["own_pope-mine"].n == 36
        assert scored["own_pope-mine"].asked.options == {"seed": 3}
        assert {one.asked.dataset for one in scored.values()} == {"files of one's own"}

    def test_a_wrong_table_is_told_before_a_model_is_loaded(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("halluc.evaluation.open_model", lambda *_: pytest.fail("loaded"))
        place = folder(tmp_path / "a", "image,question,answer\n1.png,Is it?,maybe\n")
        done = CliRunner().invoke(app, ["eval", "--benchmarks", f"yes_no:{place}"])
        assert isinstance(done.exception, UserError)
        assert "table.csv line 2: column 'answer' holds 'maybe'" in str(done.exception)


class TestNames:
    def test_a_folder_is_part_of_the_name(self, tmp_path: Path) -> None:
        typed = f"yes_no:{tmp_path}/a b,caption:{tmp_path}/c.d,glyph_mme"
        assert benchmark_names(typed) == ("yes_no-a_b", "caption-c_d", "glyph_mme")
        assert folders(typed) == {
            "yes_no-a_b.folder": f"{tmp_path}/a b",
            "caption-c_d.folder": f"{tmp_path}/c.d",
        }
        assert REGISTRY.get("yes_no-a_b") is OwnYesNo
        assert one_benchmark("caption:x/y", {"limit": 1}) == (
            "caption-y", {"folder": "x/y", "limit": 1}
        )  # fmt: skip

    def test_options_are_of_one_folder_of_a_kind_or_of_all(self) -> None:
        names = ("yes_no-a_b", "yes_no-c", "caption-c")
        typed = {"yes_no.answers": "ja/nein", "yes_no_c.table": "t.csv", "prompt": "vcd"}
        assert by_benchmark(names, typed) == {
            "yes_no-a_b": {"answers": "ja/nein", "prompt": "vcd"},
            "yes_no-c": {"answers": "ja/nein", "table": "t.csv", "prompt": "vcd"},
            "caption-c": {"prompt": "vcd"},
        }
        with pytest.raises(UserError, match="'pope_coco' is not one of yes_no-c"):
            by_benchmark(("yes_no-c",), {"pope_coco.prompt": "vcd"})

    def test_only_kinds_of_own_data_take_a_folder(self, tmp_path: Path) -> None:
        for typed, message in (
            ("mme:x", "'mme' asks about its own data; a folder of yours goes with own_mme$"),
            ("pope:x", "'pope' is no benchmark; a folder of yours goes with own_pope$"),
            ("pope_coco:x", "goes with caption, choice, own_chair, own_mme, own_pope, yes_no$"),
            ("yes_no:", "name the folder, as in yes_no:FOLDER"),
            ("yes_no:a/x,yes_no:b/x", "a/x and b/x would both be called yes_no-x; rename one"),
            ("glyph_mme-x", "unknown benchmark 'glyph_mme-x'"),
        ):
            with pytest.raises(UserError, match=message):
                benchmark_names(typed)
        with pytest.raises(UserError, match="yes_no-x: folder 'x' does not exist"):
            build(*one_benchmark("yes_no:x", {}))
        with pytest.raises(
            UserError, match=r"yes_no: name your folder: --benchmarks yes_no:FOLDER"
        ):
            list(build("yes_no").samples())

    def test_sweeps_take_them(self, tmp_path: Path) -> None:
        place = folder(tmp_path / "a", "image,question,answer\n1.png,Is it?,yes\n")
        values = {"method": "var", "sweep": ["keep=0.2,0.4"], "benchmarks": f"yes_no:{place}"}
        run = SweepConfig(**values, benchmark_args="prompt=vcd").run("test")
        assert run.benchmarks == ("yes_no-a",)
        assert run.benchmark_args["yes_no-a"] == {
            "folder": str(place), "prompt": "vcd", "split": "test:0.5"
        }  # fmt: skip

    def test_options_that_are_unknown_or_wrong(self, tmp_path: Path) -> None:
        place = folder(tmp_path / "a", "image,question,answer\n1.png,Is it?,yes\n")
        for options, message in (
            ({"colum": "x"}, r"takes no 'colum', only .*images, table, image_column"),
            ({"answers": "ja"}, "parameter 'answers': .*not 'ja'"),
            ({"question_column": 3}, "parameter 'question_column': .*not 3"),
        ):
            with pytest.raises(UserError, match=message):
                build("yes_no-a", {"folder": place, **options})


class TestTable:
    def test_csv_json_and_lines_ask_the_same(self, tmp_path: Path) -> None:
        records = [
            {"image": "1.png", "question": "A?", "answer": "yes"},
            {"image": "sub/3.png", "question": "B?", "answer": "NO "},
            {"image": "1.png", "question": "C?", "answer": "no"},
        ]
        lines = "".join(json.dumps(record) + "\n" for record in records)
        table = "image,question,answer\n" + "".join(",".join(r.values()) + "\n" for r in records)
        images = ("1.png", "sub/3.png")
        found = [
            list(OwnYesNo(folder=folder(tmp_path / name, text, name, images)).samples())
            for name, text in (
                ("t.csv", table),
                ("t.jsonl", lines),
                ("t.json", json.dumps(records)),
            )
        ]
        assert found[0] == found[1] == found[2]
        assert [(s.id, s.image_id, s.prompt, s.target) for s in found[0]] == [
            ("1.png/1", "1.png", "A?", "yes"),
            ("1.png/2", "1.png", "C?", "no"),
            ("sub/3.png/1", "sub/3.png", "B?", "no"),
        ]
        assert found[0][0].load_image().size == (4, 4)

    def test_an_image_is_one_however_it_is_named(self, tmp_path: Path) -> None:
        table = "image,question,answer\nsub/3.png,A?,yes\n3.png,B?,no\n./sub/3.png,C?,no\n"
        samples = OwnYesNo(folder=folder(tmp_path, table, images=("sub/3.png",))).samples(1)
        assert [(s.id, s.image_id) for s in samples] == [
            (f"sub/3.png/{n}", "sub/3.png") for n in (1, 2, 3)
        ]

    def test_columns_and_words_go_by_other_names(self, tmp_path: Path) -> None:
        table = "datei,frage,antwort\n1.png,Ist da ein Hund?,Ja\n2.png,Eine Katze?,nein\n"
        options: dict[str, Any] = {
            "image_column": "datei", "question_column": "frage", "answer_column": "antwort",
            "answers": "ja/nein",
        }  # fmt: skip
        asked = OwnYesNo(folder=folder(tmp_path, table), **options)
        assert [sample.target for sample in asked.samples()] == ["yes", "no"]
        assert said("Hund", "Ja.", asked) == "yes"
        assert said("Hund", "NEIN, da ist keiner", asked) == "no"
        english = OwnYesNo(folder=tmp_path, **{**options, "answers": "yes/no"})
        assert english.predict(Answer("", "", "all", "", "no", text="Nein")) is None
        assert said("Hund", "Jadegrün", asked) is None  # whole words

    def test_labels_may_be_truth_values_and_numbers(self, tmp_path: Path) -> None:
        records = [
            {"image": "1.png", "question": "?", "answer": answer}
            for answer in (True, False, 1, 0, "TRUE", "0")
        ]
        place = folder(tmp_path, json.dumps(records), "t.json")
        targets = [sample.target for sample in OwnYesNo(folder=place).samples()]
        assert targets == ["yes", "no"] * 3

    @pytest.mark.parametrize(
        ("text", "name", "message"),
        [
            ("image,q,answer\n1.png,A?,yes\n", "t.csv",
             r"t.csv line 2: has no column 'question', only image, q, answer; name it: question_c"),
            ('{"image": "1.png", "question": "A?", "answer": "yes"}\n{"image": "1.png"}', "t.jsonl",
             r"t.jsonl line 2: has no column 'question', only image; name it"),
            ("image,question,answer\n9.png,A?,yes\n", "t.csv",
             r"t.csv line 2, column 'image': image '9.png' is not below"),
            ("image,question,answer\n1.png, ,yes\n", "t.csv", "line 2: column 'question' is empty"),
            ("image,question,answer\n1.png,A?\n", "t.csv", "line 2: does not have 3 fields"),
            ("image,question,answer\n1.png,A?,ja\n", "t.csv",
             r"line 2: column 'answer' holds 'ja', neither 'yes' nor 'no'; name other words: answ"),
            ('[{"image": ["1.png"], "question": "A?", "answer": "yes"}]', "t.json",
             r"t.json line 1: column 'image' holds \['1.png'\], not a text"),
            ('[{"image": "1.png", "question": NaN, "answer": "yes"}]', "t.json",
             r"t.json line 1: column 'question' holds nan, not a text"),
            ("image,question,answer,question\n1.png,A?,yes,B?\n", "t.csv",
             r"t.csv: has two columns 'question', only image, question, answer, question"),
            ("image,question,answer,x,x\n1.png,A?,yes,1,2\n", "t.csv", "has two columns 'x'"),
        ],
    )  # fmt: skip
    def test_errors_name_file_line_and_column(
        self, tmp_path: Path, text: str, name: str, message: str
    ) -> None:
        with pytest.raises(UserError, match=message):
            list(OwnYesNo(folder=folder(tmp_path, text, name)).samples())

    def test_of_several_tables_one_is_named(self, tmp_path: Path) -> None:
        place = folder(tmp_path, "image,question,answer\n1.png,A?,yes\n")
        folder(tmp_path, "image,question,answer\n1.png,B?,no\n", "b.csv")
        folder(tmp_path, "image,question,answer\n1.png,C?,no\n", "sub/c.csv")
        with pytest.raises(UserError, match=r"has 2 tables, b.csv, table.csv; say which: table=b"):
            list(OwnYesNo(folder=place).samples())
        for table, question in (("b.csv", "B?"), ("sub/c.csv", "C?")):
            (sample,) = OwnYesNo(folder=place, table=table).samples()
            assert sample.prompt == question
        for table in ("none.csv", "../b.csv"):
            with pytest.raises(UserError, match=f"table={table}: is not a file below"):
                list(OwnYesNo(folder=place, table=table).samples())
        with pytest.raises(UserError, match="has no table; put one CSV, JSON or JSONL next to"):
            list(OwnYesNo(folder=folder(tmp_path / "e", "", "e.txt")).samples())

    def test_the_revision_is_of_the_table_and_of_the_columns(self, tmp_path: Path) -> None:
        place = folder(tmp_path, "image,question,q2,answer\n1.png,A?,B?,yes\n")
        first = OwnYesNo(folder=place).revision
        assert first == OwnYesNo(folder=place, protocol="vcd").revision
        assert first != OwnYesNo(folder=place, question_column="q2").revision
        (place / "table.csv").write_text("image,question,q2,answer\n1.png,A?,B?,no\n")
        assert first != OwnYesNo(folder=place).revision


class TestCaptions:
    TABLE = 'image,objects\n1.png,hot dog; Benches\n2.png,"[""dog"", ""red traffic light""]"\n'

    def test_a_column_lists_what_is_in_the_image(self, tmp_path: Path) -> None:
        captions = OwnCaption(folder=folder(tmp_path, self.TABLE))
        one, two = captions.samples()
        assert one.target == {"categories": ["hot dog", "Benches"], "captions": []}
        assert one.prompt == "Please describe this image in detail."
        texts = {
            one.id: "Two hot dogs on a bench, and a dog.",
            two.id: "Red traffic lights over a hot dog, no bench. A dogma.",
        }
        answers = [Answer.of(sample, text=texts[sample.id]) for sample in (one, two)]
        read = [captions.predict(answer) for answer in answers]
        assert read == [["hot dog", "benches", "dog"], ["red traffic light", "hot dog", "benches"]]
        # mentions 6, of them not in their image: dog; hot dog and bench: 3/6, in 2 of 2 captions;
        # found: hot dog, bench; red traffic light: 3 of 4 annotated. Words, a name being one:
        # two, hot dog, on, a, bench, and, a, dog: 8; red traffic light, over, a, hot dog, no,
        # bench, a, dogma: 8
        values = {
            name: interval.value for name, interval in score(captions, answers, 0).values.items()
        }
        assert (values["chair_s"], values["chair_i"]) == (1.0, 0.5)
        assert (values["recall"], values["length"], values["objects"]) == (0.75, 8.0, 3.0)

    def test_what_references_name_is_there(self, tmp_path: Path) -> None:
        table = "image,objects,references\n1.png,dog,A dog next to two cats.; A dog.\n2.png,cat,\n"
        one, _ = OwnCaption(folder=folder(tmp_path, table)).samples()
        captions = OwnCaption(folder=tmp_path)
        assert captions.truth(one.target) == {"dog", "cat"}

    def test_without_objects_there_is_a_length(self, tmp_path: Path) -> None:
        table = "image,question\n1.png,What do you see?\n2.png,And here?\n"
        captions = OwnCaption(folder=folder(tmp_path, table))
        answers = [
            Answer.of(sample, text=text)
            for sample, text in zip(captions.samples(), ("A dog.", "There is a cat."), strict=True)
        ]
        assert [answer.prompt for answer in answers] == ["What do you see?", "And here?"]
        values = score(captions, answers, 0).values
        assert values["length"].value == 3.0  # (2 + 4) / 2
        assert values["chair_s"].value != values["chair_s"].value  # undefined, not 0

    def test_objects_are_of_all_rows_or_of_none(self, tmp_path: Path) -> None:
        lines = '{"image": "1.png", "objects": ["dog"]}\n{"image": "2.png"}\n'
        with pytest.raises(UserError, match="line 2: has no column 'objects'; list there"):
            list(OwnCaption(folder=folder(tmp_path / "a", lines, "t.jsonl")).samples())
        place = folder(tmp_path / "b", self.TABLE)
        with pytest.raises(UserError, match="line 2: has no column 'object'; list there"):
            list(OwnCaption(folder=place, objects_column="object").samples())
        place = folder(tmp_path / "c", '[{"image": "1.png", "objects": 3}]', "t.json")
        with pytest.raises(UserError, match=r"line 1: column 'objects' holds 3, not texts; write"):
            list(OwnCaption(folder=place).samples())

    def test_objects_between_commas_are_an_error(self, tmp_path: Path) -> None:
        place = folder(tmp_path / "a", 'image,objects\n1.png,"dog, cat"\n')
        right = r"line 2: column 'objects' holds 'dog, cat'; separate things by ;, as in 'dog; cat'"
        with pytest.raises(UserError, match=right):
            list(OwnCaption(folder=place).samples())
        place = folder(
            tmp_path / "b",
            '[{"image": "1.png", "objects": ["cat"], "references": "A, B."}]',
            "t.json",
        )
        (sample,) = OwnCaption(folder=place).samples()
        assert sample.target  # commas are part of references

    def test_the_published_tables_go_with_the_published_families(self, tmp_path: Path) -> None:
        place = folder(tmp_path, self.TABLE)
        with pytest.raises(UserError, match="tables= goes with protocol=pattern or wordnet"):
            OwnCaption(folder=place, tables=place / "table.csv")
        assert OwnCaption("pattern", folder=place, tables=place).protocol == "pattern"


class TestChoice:
    def test_options_are_in_a_list_or_in_columns(self, tmp_path: Path) -> None:
        columns = "image,question,A,B,C,answer\n1.png,What?,a dog,a cat,,b\n"
        listed = "image,question,options,answer\n1.png,What?,a dog; a cat,A cat\n"
        record = {
            "image": "1.png",
            "question": "What?",
            "options": ["a dog", "a cat"],
            "answer": "B",
        }
        found = [
            list(OwnChoice(folder=folder(tmp_path / name, text, name)).samples())
            for name, text in (
                ("a.csv", columns),
                ("b.csv", listed),
                ("c.json", json.dumps([record])),
            )
        ]
        assert found[0] == found[1] == found[2]
        (sample,) = found[0]
        assert sample.prompt == (
            "What?\nA. a dog\nB. a cat\nAnswer with the option's letter from the given choices "
            "directly."
        )
        assert sample.target == {"answer": "B", "options": {"A": "a dog", "B": "a cat"}}

    def test_an_option_may_be_zero_or_false(self, tmp_path: Path) -> None:
        row = {"image": "1.png", "question": "How many?", "answer": "C"}
        rows = [
            {**row, "A": 2, "B": 1, "C": 0},
            {**row, "A": True, "B": 1.5, "C": False, "D": None},
        ]
        one, two = OwnChoice(folder=folder(tmp_path, json.dumps(rows), "t.json")).samples()
        assert one.target == {"answer": "C", "options": {"A": "2", "B": "1", "C": "0"}}
        assert two.target["options"] == {"A": "true", "B": "1.5", "C": "false"}

    def test_rotated_options(self, tmp_path: Path) -> None:
        place = folder(tmp_path, "image,question,options,answer\n1.png,What?,dog; cat; cup,C\n")
        benchmark = OwnChoice(folder=place, rotate_options=True)
        samples = list(benchmark.samples())
        assert [sample.target["answer"] for sample in samples] == ["C", "B", "A"]
        answers = [Answer.of(s, text="A" if n == 1 else s.target["answer"])
                   for n, s in enumerate(samples)]  # fmt: skip
        values = score(benchmark, answers, 0).values
        # right in the first order, not in the second
        assert (values["accuracy"].value, values["circular_accuracy"].value) == (1.0, 0.0)

    @pytest.mark.parametrize(
        ("table", "message"),
        [
            (
                "options,answer\n1.png,What?,dog,A\n",
                "has 1 options in columns options; write 2 to 8",
            ),
            ("A,C,answer\n1.png,What?,dog,cat,A\n", "columns A, B and so on have a gap"),
            (
                "A,B,C,D,E,F,G,H,I,answer\n1.png,What?,1,2,3,4,5,6,7,8,9,A\n",
                "has 9 options in columns A, B and so on; write 2 to 8",
            ),
            (
                "options,answer\n1.png,What?,dog; cat,C\n",
                "'answer' holds 'C', not one of A, B or of",
            ),
            (
                "options,answer\n1.png,What?,dog; dog,dog\n",
                "holds 'dog', not one of A, B or of ",
            ),
            ("options,answer\n1.png,What?,a; b; A,A\n", "holds 'A', not one of A, B, C or of "),
            ('options,answer\n1.png,"What?\nA. dog",dog; cat,A\n', "begins like an option"),
        ],
    )
    def test_errors(self, tmp_path: Path, table: str, message: str) -> None:
        with pytest.raises(UserError, match=rf"table.csv line \d: .*{message}"):
            list(OwnChoice(folder=folder(tmp_path, "image,question," + table)).samples())

    def test_a_tiny_model_is_scored(self, tmp_path: Path) -> None:
        place = folder(tmp_path, "image,question,options,answer\n1.png,is there ?,dog; cat,A\n")
        found = tiny_run.scored(OwnChoice(folder=place))
        assert (found.n, found.failed, set(found.values)) == (
            1, 0, {"accuracy", "accuracy_by_logits", "circular_accuracy"}
        )  # fmt: skip


class TestCoco:
    CATEGORIES = ("dog", "cat", "car", "bus", "cup", "bed", "sink", "tie")

    def write(self, place: Path, **boxes: list[Any]) -> Path:
        """Write instances_mine.json: an image's stem to [category, x, width] of its objects."""
        images = [{"id": n, "file_name": f"{stem}.png"} for n, stem in enumerate(boxes, 1)]
        notes = [
            {"image_id": n, "category_id": self.CATEGORIES.index(name), "bbox": [x, 0, w, 9],
             "iscrowd": 0}
            for n, several in enumerate(boxes.values(), 1)
            for name, x, w in several
        ]  # fmt: skip
        content = {
            "images": images,
            "annotations": [{"id": n, **note} for n, note in enumerate(notes)],
            "categories": [{"id": n, "name": name} for n, name in enumerate(self.CATEGORIES)],
        }
        return folder(
            place, json.dumps(content), "instances_mine.json", tuple(f"{s}.png" for s in boxes)
        )

    def three(self, place: Path) -> Path:
        return self.write(
            place,
            a=[["dog", 0, 5], ["cat", 9, 5], ["car", 20, 5], ["car", 40, 5]],
            b=[["dog", 0, 5], ["cat", 3, 5], ["bus", 0, 5]],
            c=[["cup", 0, 5], ["bed", 0, 5], ["sink", 0, 5], ["tie", 0, 5]],
        )

    def test_popes_questions_are_those_that_the_builder_writes(self, tmp_path: Path) -> None:
        place = self.three(tmp_path / "mine")
        drawn = list(OwnPope(folder=place, seed=4).samples())
        assert len(drawn) == 3 * 18
        output = tmp_path / "built"
        instances = str(place / "instances_mine.json")
        args = ["--objects", instances, "--output", str(output), "--n", "3", "--seed", "4"]
        done = CliRunner().invoke(app, ["build", "pope", *args, "--images", str(place)])
        ask = f"halluc eval --benchmarks own_pope:{output} --benchmark-args images={place}"
        assert ask in " ".join(done.output.split())
        built = list(OwnPope(folder=output, images=place).samples())
        assert built == drawn
        with pytest.raises(UserError, match="questions that are built already; leave out seed"):
            list(OwnPope(folder=output, images=place, seed=4).samples())
        (output / "instances_mine_pope_popular.json").unlink()
        with pytest.raises(
            UserError, match=r"one file of questions \*_pope_popular.json and has n"
        ):
            list(OwnPope(folder=output, images=place).samples())

    def test_the_seed_is_part_of_the_revision(self, tmp_path: Path) -> None:
        place = self.three(tmp_path / "mine")
        revisions = {OwnPope(folder=place, **options).revision for options in (
            {}, {"seed": 1}, {"n": 2}, {"template": "official"}
        )}  # fmt: skip
        assert len(revisions) == 4
        asked = [
            [s.prompt for s in OwnPope(folder=place, seed=seed).samples()] for seed in (0, 0, 1)
        ]
        assert asked[0] == asked[1] != asked[2]
        assert len(list(OwnPope(folder=place, n=2).samples())) == 36
        with pytest.raises(UserError, match=r"needs 4 images .* got 3; ask for fewer: n=3"):
            list(OwnPope(folder=place, n=4).samples())

    def test_it_is_not_popes_own_data(self, tmp_path: Path) -> None:
        own = OwnPope(folder=self.three(tmp_path / "mine"))
        assert own.name == "own_pope-mine"
        assert "/" not in own.card.dataset

    def test_one_file_of_annotations(self, tmp_path: Path) -> None:
        place = self.three(tmp_path / "mine")
        other = self.write(place / "sub", d=[["dog", 0, 5]])
        with pytest.raises(
            UserError, match=r"instances_mine.json, sub/instances_mine.json; say wh"
        ):
            list(OwnMme(folder=place).samples())
        sub = "sub/instances_mine.json"
        assert {s.image_id for s in OwnMme(folder=place, annotations=sub).samples()} == {"d.png"}
        for image in other.glob("*.png"):
            image.unlink()
        with pytest.raises(UserError, match=r"names no image that is below .*images=FOLDER"):
            list(OwnMme(folder=other).samples())
        with pytest.raises(UserError, match=r"needs COCO's instances_\*.json below"):
            list(OwnChair(folder=folder(tmp_path / "e", "")).samples())

    def test_mmes_pairs(self, tmp_path: Path) -> None:
        place = self.three(tmp_path / "mine")
        samples = list(OwnMme(folder=place).samples())
        there = {"a": {"dog", "cat", "car"}, "b": {"dog", "cat", "bus"},
                 "c": {"cup", "bed", "sink", "tie"}}  # fmt: skip
        left = {("dog", "cat"), ("dog", "car"), ("cat", "car")}
        for sample in samples:
            image, label = sample.image_id[0], sample.target
            assert sample.prompt.endswith(" Please answer yes or no.")
            if sample.group == "existence":
                (name,) = re.findall(r"Is there an? (\w+) in this image\?", sample.prompt)
                assert (name in there[image]) == (label == "yes")
            if sample.group == "count":
                ((one, several),) = re.findall(
                    r"Is there only one (\w+) in|Are there (\w+ \w+) in", sample.prompt
                )
                true = (one in there[image] - ({"car"} if image == "a" else set())) or (
                    image == "a" and several == "two cars"
                )
                assert true == (label == "yes"), sample.prompt
            if sample.group == "position":
                ((a, side, b),) = re.findall(
                    r"Is the (\w+) on the (left|right) of the (\w+)\?", sample.prompt
                )
                pair = (a, b) if side == "left" else (b, a)
                assert (pair in left) == (label == "yes")
        groups = {
            image: {s.group for s in samples if s.image_id == f"{image}.png"} for image in "abc"
        }
        # the two cars are no single object, dog and cat of b overlap: only a has a position
        assert groups["b"] == groups["c"] == {"existence", "count"}
        assert groups["a"] == {"existence", "count", "position"}
        other = list(OwnMme(folder=place, seed=1).samples())
        assert [s.prompt for s in other] != [s.prompt for s in samples]

    def test_chair_counts_what_annotations_and_captions_name(self, tmp_path: Path) -> None:
        place = self.three(tmp_path / "mine")
        notes = [{"id": 1, "image_id": 1, "caption": "A dog with two cups."}]
        images = json.loads((place / "instances_mine.json").read_text())["images"]
        (place / "captions_mine.json").write_text(
            json.dumps({"images": images, "annotations": notes})
        )
        built = "instances_mine_pope_random.json"  # what the builder leaves is no annotation
        (place / built).write_text("")
        chair = OwnChair(folder=place)
        one, *_ = chair.samples()
        assert chair.truth(one.target) == {"dog", "cat", "car", "cup"}
        assert chair.predict(Answer.of(one, text="Buses, a cup.")) == ["bus", "cup"]
        assert chair.predict(Answer.of(one, text="A bus. Bedding, ties.")) == ["bus", "tie"]
        before = chair.revision
        (place / "captions_mine.json").unlink()
        (place / built).unlink()
        assert OwnChair(folder=place).revision != before


def test_the_commands_of_the_page_are_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run each up to the point where a model would be loaded, on folders as the page has them."""

    class Valid(Exception):
        pass

    def load_nothing(*_: Any, **__: Any) -> None:
        raise Valid

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("halluc.evaluation.open_model", load_nothing)
    drawn(tmp_path / "photos", annotated=False)
    drawn(tmp_path / "coco", annotated=True)
    folder(tmp_path / "fotos", "datei,question,answer\n1.png,Hund?,ja\n")
    folder(tmp_path / "scenes", "image,objects\n1.png,dog; cat\n")
    folder(tmp_path / "exam", "image,question,A,B,answer\n1.png,What is it?,dog,cat,B\n")
    commands = re.findall(r"^    (halluc .*?)(?: +#.*)?$", PAGE.read_text(), flags=re.MULTILINE)
    assert len(commands) >= 6
    for typed in commands:
        done = CliRunner().invoke(app, shlex.split(typed)[1:])
        assert done.exit_code == 0 or isinstance(done.exception, Valid), (typed, done.exception)
