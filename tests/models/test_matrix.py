"""docs/families.md says what is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.kit.families import FAMILIES
from tests.matrix import END, START, document, reason

DOCS = Path(__file__).resolve().parents[2] / "docs/families.md"
START_PAGE = DOCS.with_name("start.md")
_FRESH = re.compile(r"\| [\d.]+ \| \d?e?[-+.\d]+ \| \d{4}-\d\d-\d\d \|")  # version, parity, date


@pytest.mark.slow
def test_docs_say_what_works() -> None:
    written = DOCS.read_text().partition(START)[2].partition(END)[0].strip()
    assert _FRESH.sub("|", written) == _FRESH.sub("|", document()), "run make families"


def test_nothing_written_was_far_from_stock() -> None:
    found = [float(row.split("|")[2]) for row in _FRESH.findall(DOCS.read_text())]
    assert len(found) == len(FAMILIES) and max(found) < 1e-5


def test_footnotes_are_sentences_with_a_reason() -> None:
    notes = re.findall(r"^\d+\. (.+)$", DOCS.read_text(), re.M)
    assert len(notes) > 10
    for note in notes:
        assert re.match(r"The (method|model) [a-z]+ ", note) and note.endswith("."), note
        assert "method method" not in note and "the model" in note.lower(), note


@pytest.mark.parametrize(
    ("refusal", "sentence"),
    [
        (
            "method 'x' acts in layers 3; the attention of 'M' can be reached in 1, 2",
            "The method acts in layer 3; the attention of the model can be reached in layers 1, 2.",
        ),
        (
            "method 'x' acts in layers 3, 5 to 7; 'M' has layers 0 to 3",
            "The method acts in layers 3, 5 to 7; the model has layers 0 to 3.",
        ),
        ("method 'x': 'M' has no up_proj; use official_code", "The model has no up_proj."),
        (
            "method 'x' reads the CLS token, and the tower of 'M' (vit) has none; towers: clip",
            "The method reads the CLS token, and the tower of the model has none.",
        ),
        (
            "method 'x' edits networks; 'M' has none behind some of the layers 12 to 12",
            "The method edits networks; the model has none behind layer 12.",
        ),
    ],
)
def test_a_refusal_becomes_a_sentence(refusal: str, sentence: str) -> None:
    assert reason(refusal, "x", "M") == sentence


def test_the_first_page_names_the_same_processors_that_need_torchvision() -> None:
    (said,) = re.findall(r"torchvision\. (SmolVLM .*?) need it", DOCS.read_text())
    (extra,) = re.findall(r"^\| `halluc\[families\]` \|(.*)\|", START_PAGE.read_text(), re.M)
    families = ["SmolVLM", "Mistral 3", "LFM2-VL"]
    assert all(family in said and family in extra for family in families)
    assert not any(family in extra for family in ("Qwen", "InternVL", "OneVision"))
