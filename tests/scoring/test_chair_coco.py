from __future__ import annotations

import gzip
import json
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from halluc.errors import UserError
from halluc.scoring.chair.metric import Tables, metrics, tally
from halluc.scoring.chair.word_families import FAMILIES, load_tables, object_finder

if TYPE_CHECKING:
    from pathlib import Path

TRUTH = {"pattern": "gt_pattern_full", "wordnet": "gt_lemmatizer_full"}
CAPTIONS = ("instructblip_greedy", "instructblip_ours", "llava-1.5_greedy", "llava-1.5_ours")


@cache
def truth(shared: Path, family: str) -> dict[str, list[str]]:
    with gzip.open(shared / f"data/coco/{TRUTH[family]}.json.gz") as file:
        sets: dict[str, list[str]] = json.load(file)
    return sets


@pytest.fixture(scope="module")
def tables(shared: Path) -> Tables:
    return load_tables(shared / "data/coco/chair_tables.json")


@pytest.mark.parametrize("name", CAPTIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_500_real_captions(
    shared: Path, nltk_data: Path, tables: Tables, family: str, name: str
) -> None:
    golden = json.loads((shared / f"golden/chair/{family}_{name}.json").read_text())
    lines = (shared / f"golden/chair/captions_{name}.jsonl").read_text().splitlines()
    totals: dict[str, float] = {}
    chair = object_finder(family, tables)
    for line, want in zip(lines, golden["per_caption"], strict=True):
        row = json.loads(line)
        assert row["image_id"] == want["image_id"]
        reading = chair.find(row["caption"])
        present = set(truth(shared, family)[str(row["image_id"])])
        wrong = [mention for mention in reading.mentions if mention.node not in present]
        assert reading.nodes == want["generated"]
        assert [[mention.word, mention.node] for mention in wrong] == want["hallucinated"]
        assert [mention.index for mention in wrong] == want["hall_idxs"]
        assert reading.n_words == want["n_words"]
        counts = tally(reading, present)
        assert counts["hallucinating"] == want["metrics"]["CHAIRs"]
        assert counts["hallucinated"] / max(1, counts["mentions"]) == want["metrics"]["CHAIRi"]
        for key, count in counts.items():
            totals[key] = totals.get(key, 0) + count
    got = {
        k: float(v[0]) for k, v in metrics({k: np.array([v]) for k, v in totals.items()}).items()
    }
    overall = golden["overall"]
    assert got["chair_s"] == overall["CHAIRs"]
    assert got["chair_i"] == overall["CHAIRi"]
    assert got["recall"] == overall["Recall"]
    assert got["length"] / 100 == pytest.approx(overall.get("Len", got["length"] / 100), abs=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_ground_truth_of_80_images(
    shared: Path, nltk_data: Path, tables: Tables, family: str
) -> None:
    chair = object_finder(family, tables)
    lines = (shared / "data/coco/caps_boxes_coco2014_val_80.jsonl").read_text().splitlines()
    rows: list[dict[str, Any]] = [json.loads(line) for line in lines]
    assert len(rows) == 80
    for row in rows:
        categories = [instance["category"] for instance in row["instances"]]
        want = set(truth(shared, family)[str(int(row["id"]))])
        assert chair.truth(categories, row["captions"]) == want


def test_families_differ_on_both_sides(shared: Path, nltk_data: Path, tables: Tables) -> None:
    pattern, wordnet = object_finder("pattern", tables), object_finder("wordnet", tables)
    assert pattern.find("a bus").nodes == []
    assert wordnet.find("a bus").nodes == ["bus"]
    assert pattern.find("two vases").nodes == ["vase"]
    assert wordnet.find("two vases").nodes == []
    assert pattern.truth([], ["a man in a tie on a bus"]) == {"person", "tie"}
    assert wordnet.truth([], ["a man in a tie on a bus"]) == {"person", "tie", "bus"}
    differ = sum(
        truth(shared, "pattern")[i] != truth(shared, "wordnet")[i] for i in truth(shared, "pattern")
    )
    assert differ == 1741
    overall = [
        json.loads((shared / f"golden/chair/{family}_instructblip_greedy.json").read_text())
        for family in ("wordnet", "pattern")
    ]  # what `test_500_real_captions` gets of the same captions
    assert [golden["overall"]["CHAIRs"] for golden in overall] == [0.588, 0.572]


def test_tables_are_read_from_the_published_code(tmp_path: Path) -> None:
    code = tmp_path / "chair.py"
    code.write_text(
        "import nowhere\n"
        "synonyms_txt = '''\ndog, puppy\nhot dog\nsuitcase, suit case\ncake,  cheesecake\n'''\n"
        "class CHAIR:\n    def __init__(self):\n"
        "        coco_double_words = ['hot dog', 'suit case', 'bow tie']\n"
        "        animal_words = ['dog']\n        vehicle_words = ['jet']\n"
    )
    tables = load_tables(code)
    assert tables.nodes["puppy"] == "dog"
    assert tables.nodes["suit case"] == "suitcase"
    assert " cheesecake" in tables.nodes  # not stripped, so it never matches
    assert tables.double_words["baby dog"] == "dog"
    assert tables.double_words["passenger jet"] == "jet"
    assert tables.double_words["bow tie"] == "tie"


def test_errors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file of CHAIR tables"):
        load_tables(tmp_path / "missing.json")
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(UserError, match="needs inverse_synonym_dict"):
        load_tables(tmp_path / "other.json")
    with pytest.raises(UserError, match="choose from pattern, wordnet"):
        object_finder("spacy", Tables({}, {}))
