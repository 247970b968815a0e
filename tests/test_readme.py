"""README's examples run as printed, and it stays short; test_documents tries its commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from halluc.interventions import REGISTRY
from halluc.testing import check_method
from halluc.world import render, scene
from tests.kit.asking import answer, prepared, questions
from tests.kit.families import llava
from tests.kit.pages import ROOT, blocks, commands

PAGE = ROOT / "README.md"
FIVE_LINES, PULL = (block.text for block in blocks(PAGE) if block.language == "python")
COMMANDS = [
    command
    for block in blocks(PAGE)
    if not block.language
    for command in commands(block)
    if command.startswith("halluc ")
]


@pytest.fixture
def pull() -> Iterator[Any]:
    """README's method, registered while a test lasts."""
    scope: dict[str, Any] = {"__name__": "readme"}
    with REGISTRY.scratch():
        exec(compile(PULL, "README", "exec"), scope)
        yield scope["Pull"]


def test_the_method_does_what_it_says(pull: Any) -> None:
    model = llava()
    methods = prepared("baseline", model), prepared("pull", model), prepared("pull", model, alpha=0)
    plain, pulled, still = (answer(model, one, questions(model, 0, 1)).logits for one in methods)
    assert (pulled - plain).abs().max() > 1e-3 and (still - plain).abs().max() < 1e-4
    check_method(pull)


def test_the_five_lines_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    render(scene("test", 0)).save("photo.jpg")
    assert "limit=50" in FIVE_LINES
    exec(compile(FIVE_LINES.replace("limit=50", "limit=2"), "README", "exec"), {})
    table, reply = capsys.readouterr().out.strip().rsplit("\n", 1)
    assert "vhr" in table and reply.startswith(("Yes", "No"))


def test_it_is_short_and_has_commands() -> None:
    shown = {command.split()[1] for command in COMMANDS}
    assert shown >= {"eval", "doctor", "list", "compare", "power", "sweep", "leaderboard", "export"}
    assert len(PAGE.read_text().splitlines()) < 120
