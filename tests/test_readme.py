"""README's examples run as printed, and its commands are valid."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from halluc.cli.app import app
from halluc.config import BASELINE
from halluc.errors import UserError
from tests.kit.runs import write_run

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = re.findall(r"^    (halluc .*?)(?: +#.*)?$", README, flags=re.MULTILINE)

CHECK = """
import sys
exec(compile(open(sys.argv[1]).read(), "README", "exec"), {"__name__": "readme"})
exec(compile(open(sys.argv[2]).read(), "README", "exec"), {"__name__": "readme"})
from halluc.config import DecodingConfig
from halluc.decoding import answer_samples
from halluc.interventions.compose import find
from halluc.scoring.base import REGISTRY
from halluc.scoring.scores import score
from tests.kit.asking import answer, prepared, questions
from tests.kit.families import llava

model, dogs = llava(), REGISTRY.get("dogs")()
plain = answer(model, prepared("baseline", model), questions(model, 0, 1)).logits
pulled = answer(model, prepared("pull", model), questions(model, 0, 1)).logits
still = answer(model, prepared("pull", model, alpha=0.0), questions(model, 0, 1)).logits
assert (pulled - plain).abs().max() > 1e-3 and (still - plain).abs().max() < 1e-4
answers = list(answer_samples(model, prepared("pull", model), dogs.samples(4), DecodingConfig(), 4))
print(score(dogs, answers, draws=100).values["accuracy"])
"""


def test_the_two_examples_work(tmp_path: Path) -> None:
    files = []
    for number, block in enumerate(BLOCKS):
        file = tmp_path / f"block{number}.py"
        file.write_text(block)
        files.append(str(file))
    assert len(files) == 2
    done = subprocess.run(
        [sys.executable, "-c", CHECK, *files], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert "Interval(value=" in done.stdout


class Valid(Exception):
    """What was typed is valid: the command came to the point where it would load a model."""


def load_nothing(*_: Any, **__: Any) -> None:
    raise Valid


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what README's commands name: two runs, and a folder of runs."""
    folder = tmp_path_factory.mktemp("readme")
    for name, method in (("RUN_A", "vhr"), ("RUN_B", BASELINE)):
        run = write_run(folder / "runs", method, benchmarks=("glyph_mme",), limit=3)
        (folder / name).symlink_to(run.path)
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_of_readme_are_valid(
    command: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run each up to the point where a model would be loaded; those that load none run whole."""
    monkeypatch.chdir(folder)
    for loading in (
        "halluc.evaluation.open_model",
        "halluc.sweep.running.open_model",
        "halluc.crosscheck.asking_systems.open_model",
        "halluc.doctor.examine",
    ):
        monkeypatch.setattr(loading, load_nothing)
    done = CliRunner().invoke(app, shlex.split(command)[1:])
    assert done.exit_code == 0 or isinstance(done.exception, Valid), done.exception or done.output


def test_a_wrong_command_would_not_be_valid() -> None:
    wrong = ["eval", "--method", "var", "--method-args", "kep=0.5"]
    assert isinstance(CliRunner().invoke(app, wrong).exception, UserError)


def test_readme_has_commands() -> None:
    shown = {command.split()[1] for command in COMMANDS}
    assert shown >= {"eval", "doctor", "list", "compare", "power", "sweep", "leaderboard", "export"}
