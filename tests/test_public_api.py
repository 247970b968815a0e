"""Every public name is documented, comes when it is asked for, and its examples run."""

from __future__ import annotations

import doctest
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import halluc
from halluc.interventions import REGISTRY
from halluc.scoring.base import REGISTRY as BENCHMARKS

ROOT = Path(__file__).parents[1]
FRONT = (
    *("evaluate", "load", "intervene", "score", "compare", "trace"),
    *("Results", "AnsweredSample", "Comparison", "LoadedModel", "Reply"),
)
"""What a program calls, and what it is given."""
PAGE = (ROOT / "docs/python.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


def test_every_public_name_is_documented() -> None:
    assert set(FRONT) <= set(halluc.__all__)
    for name in halluc.__all__:
        found = getattr(halluc, name)
        assert name == "__version__" or inspect.getdoc(found), name
    front = {name for name in halluc.__all__ if "python_api" in home(name)}
    assert front == set(FRONT)


def home(name: str) -> str:
    return getattr(getattr(halluc, name), "__module__", "")


@pytest.mark.parametrize("name", [name for name in halluc.__all__ if name != "__version__"])
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    finder, count = doctest.DocTestFinder(exclude_empty=True), 0
    with REGISTRY.scratch(), BENCHMARKS.scratch():
        for test in finder.find(getattr(halluc, name), name):
            text: list[str] = []
            result = doctest.DocTestRunner().run(test, out=text.append)
            assert not result.failed, "".join(text)
            count += result.attempted
    assert count, f"{name} has no example"


def test_import_is_light() -> None:
    code = (
        "import sys, halluc\n"
        "heavy = {'torch', 'transformers', 'numpy', 'pandas', 'PIL', 'pydantic'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "halluc.score\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_the_page_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    space: dict[str, object] = {"__name__": "page"}
    with REGISTRY.scratch():
        for block in BLOCKS:
            exec(compile(block, "docs/python.md", "exec"), space)
    assert len(BLOCKS) >= 6 and len(PAGE.splitlines()) <= 80
    for name in FRONT[:6]:
        assert f"{name}(" in PAGE, name
