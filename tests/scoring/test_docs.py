from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TABLE = (ROOT / "docs/scoring.md").read_text().split("## Where published")[1].split("\n## ")[0]
LINES = [line for line in TABLE.splitlines() if line.startswith("| **")]


@pytest.mark.parametrize("line", LINES, ids=lambda line: line[4:40])
def test_every_line_names_a_test_that_exists(line: str) -> None:
    found = re.search(r"\| (tests/\S+)::(\w+) \|$", line)
    assert found is not None
    assert f"def {found[2]}(" in (ROOT / found[1]).read_text()


def test_there_are_lines() -> None:
    assert len(LINES) > 30
