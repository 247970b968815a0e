"""docs/families.md says what is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.kit.families import FAMILIES
from tests.matrix import END, START, document

DOCS = Path(__file__).resolve().parents[2] / "docs/families.md"
_FRESH = re.compile(r"\| [\d.]+ \| \d?e?[-+.\d]+ \| \d{4}-\d\d-\d\d \|")  # version, parity, date


@pytest.mark.slow
def test_docs_say_what_works() -> None:
    written = DOCS.read_text().partition(START)[2].partition(END)[0].strip()
    assert _FRESH.sub("|", written) == _FRESH.sub("|", document()), "run make families"


def test_nothing_written_was_far_from_stock() -> None:
    found = [float(row.split("|")[2]) for row in _FRESH.findall(DOCS.read_text())]
    assert len(found) == len(FAMILIES) and max(found) < 1e-5
