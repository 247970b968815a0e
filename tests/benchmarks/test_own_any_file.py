"""Files of one's own, and of new benchmarks, as anybody may have damaged them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from halluc.benchmarks.caption import OwnCaption
from halluc.benchmarks.choice import OwnChoice
from halluc.benchmarks.hallucinogen import Localization
from halluc.benchmarks.own_chair import OwnChair
from halluc.benchmarks.own_mme import OwnMme
from halluc.benchmarks.own_pope import OwnPope
from halluc.benchmarks.reefknot import ReefknotChoice, ReefknotVqa, ReefknotYesNo
from halluc.benchmarks.vlind_bench import VLindBench
from halluc.benchmarks.yes_no import OwnYesNo
from tests.benchmarks.hub import picture
from tests.benchmarks.test_any_file import asked, complete
from tests.benchmarks.test_vlind_bench import instance
from tests.kit.any_file import FEW, MANY, Reader, survives

IMAGES: dict[str, str | bytes] = {f"{n}.jpg": picture() for n in (1, 2)}
NAMES = ("dog", "cat", "car", "bus", "cup", "bed")
COCO = json.dumps(
    {
        "images": [{"id": n, "file_name": f"{n}.jpg"} for n in (1, 2)],
        "annotations": [
            {"id": n, "image_id": 1 + n % 2, "category_id": n, "bbox": [9 * n, 0, 5, 5]}
            for n in range(6)
        ],
        "categories": [{"id": n, "name": name} for n, name in enumerate(NAMES)],
    }
)
POPE = [{"question_id": n, "image": f"{n}.jpg", "text": "Is it?", "label": "yes"} for n in (1, 2)]


def lines(*records: dict[str, Any]) -> str:
    return "\n".join(map(json.dumps, records))


def table(make: Any, text: str, name: str, form: Any = "text") -> Reader:
    return Reader(f"{make.name} {name}", {**IMAGES, name: text}, name, asked(make), complete, form)


def coco(make: Any) -> Reader:
    name = "instances_mine.json"
    return Reader(
        f"{make.name} {name}", {**IMAGES, name: COCO}, name, asked(make), complete, "json"
    )


def built(damaged: str) -> Reader:
    files = {f"a_pope_{s}.json": lines(*POPE) for s in ("random", "popular", "adversarial")}
    return Reader("own_pope built", {**IMAGES, **files}, damaged, asked(OwnPope), complete, "lines")


def reefknot(make: Any, query: str, label: str) -> Reader:
    rows = [
        {"image_id": str(n), "query_prompt": query, "label": label, "relation_type": "cognitive"}
        for n in (1, 2)
    ]
    return Reader(make.name, {**IMAGES, make.file: lines(*rows)}, make.file, asked(make), complete,
                  "lines")  # fmt: skip


QUERIES = {f"query_{n}": "Where is it?" for n in range(1, 6)}
HALLUCINOGEN = {
    f"loc_POPE_{split}.json": lines(*({**row, **QUERIES} for row in POPE))
    for split in ("rand", "pop", "adv")
}
VLIND: dict[str, str | bytes] = {
    "data.json": json.dumps([instance(0, {"5": 2})]),
    "counterfactual/location/0_0 fish swim in the desert./5.jpg": picture(),
    "factual/location/0_0 fish swim in the sea./0.jpg": picture(),
}
READERS = (
    table(OwnYesNo, "image,question,answer\n1.jpg,Is it?,yes\n2.jpg,Is it?,no\n", "t.csv"),
    table(OwnYesNo, lines({"image": "1.jpg", "question": "?", "answer": "no"}), "t.jsonl", "lines"),
    table(OwnCaption, "image,objects,references\n1.jpg,dog; cat,A dog.\n2.jpg,,\n", "t.csv"),
    table(
        OwnCaption,
        lines({"image": "1.jpg", "objects": ["dog"], "question": "?"}),
        "t.jsonl",
        "lines",
    ),
    table(OwnChoice, "image,question,A,B,answer\n1.jpg,What?,dog,cat,A\n", "t.csv"),
    table(
        OwnChoice,
        lines({"image": "1.jpg", "question": "?", "options": ["dog", "cat"], "answer": "cat"}),
        "t.jsonl",
        "lines",
    ),
    coco(OwnPope),
    coco(OwnMme),
    coco(OwnChair),
    built("a_pope_popular.json"),
    reefknot(ReefknotYesNo, "Is it?", "yes"),
    reefknot(ReefknotChoice, "Which? A. on B. in C. at D. by, please choose.", "A"),
    reefknot(ReefknotVqa, "following format:bag is <relation> ground.", "bag is on ground."),
    Reader(
        "hallucinogen",
        {**IMAGES, **HALLUCINOGEN},
        "loc_POPE_pop.json",
        asked(Localization),
        complete,
        "lines",
    ),
    Reader("vlind_bench", VLIND, "data.json", asked(VLindBench), complete, "json"),
)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_any_file_is_read_or_refused_in_one_line(reader: Reader) -> None:
    survives(reader, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_many_a_file_is_read_or_refused_in_one_line(reader: Reader) -> None:
    survives(reader, MANY)
