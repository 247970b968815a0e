"""README's examples run as printed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)

CHECK = """
import sys
exec(compile(open(sys.argv[1]).read(), "README", "exec"), {"__name__": "readme"})
exec(compile(open(sys.argv[2]).read(), "README", "exec"), {"__name__": "readme"})
from halluc.config import DecodingConfig
from halluc.decoding import answer_samples
from halluc.interventions.compose import find
from halluc.scoring.base import REGISTRY
from halluc.scoring.scores import score
from tests.kit.families import llava
from tests.methods.test_promises import answer, asked, build

model, dogs = llava(), REGISTRY.get("dogs")()
plain, _ = answer(model, build("baseline", model), asked(model, 0, 1))
pulled, _ = answer(model, build("pull", model), asked(model, 0, 1))
still, _ = answer(model, build("pull", model, alpha=0.0), asked(model, 0, 1))
assert (pulled - plain).abs().max() > 1e-3 and (still - plain).abs().max() < 1e-4
answers = list(answer_samples(model, build("pull", model), dogs.samples(4), DecodingConfig(), 4))
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


def test_the_examples_fit_twenty_lines() -> None:
    for block in BLOCKS:
        body = [line for line in block.splitlines() if line.strip() and "import" not in line]
        assert len(body) <= 20


def test_commands_of_readme_parse() -> None:
    for line in re.findall(
        r"^    (halluc eval .*)$", (ROOT / "README.md").read_text(), re.MULTILINE
    ):
        code = (
            "import sys, typer; from halluc import cli; seen = {}\n"
            "cli._config = lambda **kw: seen.update(kw) or sys.exit(0)\n"
            "cli.app()"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, *line.split()[1:]], capture_output=True, text=True
        )
        assert done.returncode == 0, (line, done.stderr)
