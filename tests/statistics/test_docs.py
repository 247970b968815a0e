"""docs/statistics.md: every line names a test that exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINES = [
    line
    for line in (ROOT / "docs/statistics.md").read_text().splitlines()
    if line.startswith("| ") and "| ---" not in line and not line.startswith("| what ")
]


@pytest.mark.parametrize("line", LINES, ids=lambda line: line[2:40])
def test_every_line_names_a_test_that_exists(line: str) -> None:
    found = re.search(r"\| (tests/\S+)::(\w+) \|$", line)
    assert found is not None
    assert f"def {found[2]}(" in (ROOT / found[1]).read_text()


def test_there_are_lines() -> None:
    assert len(LINES) > 15
