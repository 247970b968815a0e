"""Whatever a file of data, labels or answers holds: one line of complaint, or what is promised."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from halluc.benchmarks.pope import PopeCoco
from halluc.calibration.calibration_file import Calibration
from halluc.calibration.calibration_file import read as read_calibration
from halluc.data.coco_objects import captions, image_objects, load
from halluc.data.hub import Table
from halluc.data.pinned_files import recorded, verify
from halluc.data.records import rows, table
from halluc.scoring.answer_files import AnswerFiles
from halluc.scoring.chair.caption_files import read_captions, read_truth
from halluc.scoring.chair.word_families import load_tables
from halluc.scoring.mme import answer_files as mme
from halluc.scoring.mme.metric import ROWS
from halluc.scoring.pope import answer_files as pope
from halluc.scoring.pope.question_files import read_objects
from halluc.scoring.pope.relabelling import label_files, relabel
from halluc.types import Answer
from tests.kit.any_file import FEW, MANY, Reader, survives


def lined(records: Iterable[Any]) -> str:
    return "\n".join(map(json.dumps, records))


INSTANCES = json.dumps(
    {
        "images": [{"id": n, "file_name": f"{n}.jpg"} for n in (1, 2)],
        "categories": [{"id": 1, "name": "dog"}],
        "annotations": [{"id": n, "image_id": n, "category_id": 1} for n in (1, 2)],
    }
)
CAPTIONS = json.dumps(
    {
        "images": [{"id": n, "file_name": f"{n}.jpg"} for n in (1, 2)],
        "annotations": [{"id": n, "image_id": n, "caption": "A dog."} for n in (1, 2)],
    }
)
QUESTIONS = lined(
    {"question_id": n, "image": f"{n}.jpg", "text": f"Is there a {n}?", "label": "yes"}
    for n in (1, 2, 3)
)
POPE = {
    "coco_pope_random.json": QUESTIONS,
    "answers.jsonl": lined({"question_id": n, "answer": "Yes."} for n in (1, 2, 3)),
}
CHATS = lined(
    {"image": f"{n}.jpg", "text": ["Is there a dog?"] * 2, "label": ["yes", "no"]} for n in (1, 2)
)
TRUTH = {
    "truth.json": json.dumps({"1": ["dog"], "COCO_val2014_2.jpg": []}),
    "captions.jsonl": lined({"image_id": n, "caption": "A dog."} for n in (1, 2)),
}
COLOR = "".join(f"{n // 2}.jpg\tIs it?\tYes\tYes, \u2028it is.\n" for n in range(ROWS["color"]))
CALIBRATION = Calibration(
    model="m", fingerprint="f", method="var", params={"tau": 3.0, "heads": [[1, 2]]},
    labelled=False, source="drawn scenes", images=("a", "b"),
).model_dump_json()  # fmt: skip


def pope_answers(folder: Path) -> list[Any]:
    labels = folder / "coco_pope_random.json"
    return PopeCoco().read_answers(AnswerFiles(folder / "answers.jsonl", labels))


def relabelled(folder: Path) -> list[Answer]:
    asked = [
        Answer(f"random/{n}", f"{n}.jpg", "random", f"Is there a {n}?", "no", text="Yes.")
        for n in (1, 2, 3)
    ]
    (labels,) = label_files([str(folder / "coco_pope_random.json")]).values()
    return relabel(asked, "random", labels)


def chair_captions(folder: Path) -> list[tuple[str, str]]:
    truth = read_truth(folder / "truth.json")
    return read_captions(folder / "captions.jsonl", truth, folder / "truth.json")


def first_use(folder: Path) -> dict[str, str]:
    cache = folder.with_name("cache")
    cache.mkdir()
    (folder / "seen.json").rename(cache / "seen.json")
    before = recorded("mme")
    verify("new", {"a": "b"})
    assert recorded("new")["a"] == "b"
    return before


def parquet() -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([{"text": "a", "image": b"x"}] * 3), stream)
    return stream.getvalue()


CODE = """
synonyms_txt = '''dog, pup
cat'''
coco_double_words = ["hot dog"]
animal_words = ["dog"]
vehicle_words = ["jet"]
"""


def are_texts(found: Iterable[object]) -> bool:
    return all(isinstance(part, str) for part in found)


READERS = (
    Reader("rows", {"a": QUESTIONS}, "a", lambda f: rows(f / "a"), bool, "lines"),
    Reader(
        "table",
        {"a.csv": 'id,text\n1,"a ""b"""\n2,c\n'},
        "a.csv",
        lambda f: table(f / "a.csv", ("id", "text")),
        lambda found: all(are_texts(row.fields.values()) and len(row.fields) > 1 for row in found),
        "text",
    ),
    Reader(
        "coco instances",
        {"a.json": INSTANCES},
        "a.json",
        lambda f: image_objects(load(f / "a.json")),
        lambda found: all(are_texts((one.image, *one.objects)) for one in found),
    ),
    Reader(
        "coco captions",
        {"a.json": CAPTIONS},
        "a.json",
        lambda f: captions(load(f / "a.json")),
        lambda found: all(are_texts(said) for said in found.values()),
    ),
    Reader(
        "pope objects",
        {"a.json": INSTANCES},
        "a.json",
        lambda f: read_objects(f / "a.json"),
        lambda found: all(are_texts((one.image, *one.objects)) for one in found),
    ),
    Reader(
        "pope questions",
        {"a.json": QUESTIONS},
        "a.json",
        lambda f: pope.read_questions(f / "a.json"),
        lambda found: are_texts(row["text"] for row in found),
        "lines",
    ),
    Reader(
        "pope conversations",
        {"a.json": CHATS},
        "a.json",
        lambda f: pope.read_questions(f / "a.json"),
        lambda found: are_texts(row["text"] for row in found),
        "lines",
    ),
    Reader(
        "pope answers",
        POPE,
        "answers.jsonl",
        pope_answers,
        lambda found: [one.id for one in found] == ["random/1", "random/2", "random/3"],
        "lines",
    ),
    Reader(
        "pope labels",
        POPE,
        "coco_pope_random.json",
        pope_answers,
        lambda found: all(one.target in ("yes", "no") for one in found),
        "lines",
    ),
    Reader(
        "pope other labels",
        POPE,
        "coco_pope_random.json",
        relabelled,
        lambda found: bool(found) and all(one.target in ("yes", "no") for one in found),
        "lines",
    ),
    Reader(
        "mme answers",
        {"color.txt": COLOR},
        "color.txt",
        lambda f: mme.read_answers(AnswerFiles(f / "color.txt")),
        lambda found: len({one.id for one in found}) == ROWS["color"],
        "text",
    ),
    Reader(
        "mme questions",
        {"color/1.txt": "Is it?\tYes\nIs it not?\tNo\n"},
        "color/1.txt",
        lambda f: mme.read_questions(f, "color"),
        lambda found: len(found) == 2 and {one.truth for one in found} <= {"yes", "no"},
        "text",
    ),
    Reader(
        "chair captions",
        TRUTH,
        "captions.jsonl",
        chair_captions,
        lambda found: len({id for id, _ in found}) == len(found) and {*dict(found)} <= {"1", "2"},
        "lines",
    ),
    Reader(
        "chair objects",
        TRUTH,
        "truth.json",
        chair_captions,
        lambda found: [id for id, _ in found] == ["1", "2"],
    ),
    Reader(
        "chair tables",
        {"a.json": json.dumps({"inverse_synonym_dict": {"pup": "dog"}, "double_word_dict": {}})},
        "a.json",
        lambda f: load_tables(f / "a.json"),
        lambda found: are_texts([*found.nodes.values(), *found.double_words.values()]),
    ),
    Reader(
        "chair's own code",
        {"chair.py": CODE},
        "chair.py",
        lambda f: load_tables(f / "chair.py"),
        lambda found: are_texts([*found.nodes.values(), *found.double_words.values()]),
        "text",
    ),
    Reader(
        "parquet",
        {"a.parquet": parquet()},
        "a.parquet",
        lambda f: Table((f / "a.parquet",), ("text",), "image").rows,
        bool,
        "text",
    ),
    Reader(
        "calibration",
        {"a.json": CALIBRATION},
        "a.json",
        lambda f: read_calibration(f / "a.json").name,
        lambda name: isinstance(name, str),
    ),
    Reader(
        "first use",
        {"seen.json": json.dumps({"mme": {"color": "ab"}, "pope": {"revision": "cd"}})},
        "seen.json",
        first_use,
        lambda facts: are_texts(facts.values()),
    ),
)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_any_file_is_read_or_refused_in_one_line(reader: Reader) -> None:
    survives(reader, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_many_a_file_is_read_or_refused_in_one_line(reader: Reader) -> None:
    survives(reader, MANY)
