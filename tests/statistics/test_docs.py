"""docs/statistics.md: every line names a test that exists, and what is by hand is short."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINES = [
    line
    for line in (ROOT / "docs/statistics.md").read_text().splitlines()
    if line.startswith("| ") and "| ---" not in line and not line.startswith("| what ")
]
BY_HAND = [
    *(f"halluc/statistics/{name}.py" for name in ("clusters", "paired", "power", "significance")),
    "halluc/scoring/intervals.py",
]


@pytest.mark.parametrize("line", LINES, ids=lambda line: line[2:40])
def test_every_line_names_a_test_that_exists(line: str) -> None:
    found = re.search(r"\| (tests/\S+)::(\w+) \|$", line)
    assert found is not None
    assert f"def {found[2]}(" in (ROOT / found[1]).read_text()


def test_there_are_lines() -> None:
    assert len(LINES) > 15


def test_what_is_by_hand_is_short() -> None:
    assert 100 < sum(code_lines((ROOT / file).read_text()) for file in BY_HAND) < 150


def code_lines(source: str) -> int:
    """Lines of code: no blank ones, comments, docstrings, imports, or what only types need."""
    skipped: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        typing = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        if text or typing or isinstance(node, ast.Import | ast.ImportFrom):
            skipped |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = enumerate(source.splitlines(), 1)
    return sum(
        bool(line.strip()) and not line.strip().startswith("#") and number not in skipped
        for number, line in lines
    )
