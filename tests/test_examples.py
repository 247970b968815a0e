"""What lies in examples/ runs: scripts as commands, notebooks cell by cell, the plug-in too."""

from __future__ import annotations

import importlib
import json
import re
import runpy
import sys
import tomllib
from contextlib import ExitStack
from pathlib import Path

import pytest
from typer.testing import CliRunner

from halluc.cli.app import app
from halluc.interventions import REGISTRY
from halluc.scoring.base import REGISTRY as BENCHMARKS
from halluc.world import render, scene

EXAMPLES = Path(__file__).parents[1] / "examples"
Monkey = pytest.MonkeyPatch
Printed = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: Monkey) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")


def run(script: str, *arguments: str) -> None:
    """Run a script as from the command line."""
    with pytest.MonkeyPatch.context() as patch, REGISTRY.scratch():
        patch.setattr(sys, "argv", [script, *arguments])
        runpy.run_path(str(EXAMPLES / script), run_name="__main__")


def test_a_method_of_ones_own_is_on_the_board(capsys: Printed, tmp_path: Path) -> None:
    run("own_method_on_own_images.py")
    assert (tmp_path / "photos/questions.csv").read_text().count("\n") == 13
    shown = capsys.readouterr().out
    assert "yes_no-photos" in shown and "12 answers about 6 images" in shown
    assert shown.index("baseline") < shown.index("  brighter") < shown.index("  var")


def test_the_attention_of_an_answer_is_drawn(capsys: Printed, tmp_path: Path) -> None:
    render(scene("test", 0)).save("photo.jpg")
    run("attention_of_an_answer.py", "photo.jpg", "Is there a cat in the image?")
    assert (tmp_path / "attention.png").read_bytes().startswith(b"\x89PNG")
    assert "to the image  baseline" in capsys.readouterr().out


@pytest.mark.slow
def test_a_sweep_is_drawn(tmp_path: Path) -> None:
    run("sweep_to_figure.py", "1")
    (table,) = (tmp_path / "runs/sweeps").glob("glyph-vhr-*/sweep.json")
    assert (table.parent / "sweep-vhr-line.png").is_file()


def answers(name: str, wrong: int) -> str:
    """Write answers to 20 questions about dogs, some of them wrong, and their labels."""
    asked, said = [], []
    for number in range(20):
        question = {"question_id": number, "image": f"{number}.jpg", "text": "Is there a dog?"}
        asked.append(json.dumps({**question, "label": "yes" if number % 2 else "no"}))
        right = number >= wrong
        reply = "Yes, there is." if bool(number % 2) == right else "No."
        said.append(json.dumps({"question": "Is there a dog?", "answer": reply}))
    Path("labels.json").write_text("\n".join(asked))
    Path(name).write_text("\n".join(said))
    return name


def test_recorded_answers_are_scored_and_compared(capsys: Printed) -> None:
    run("recorded_answers.py", answers("a.jsonl", 1), answers("b.jsonl", 6), "labels.json")
    shown = capsys.readouterr().out
    # 14 and 19 of 20 are right. To lmms-eval neither "Yes, there is." nor "No." is an answer.
    assert re.search(r"official  b\.jsonl: .*'Accuracy': 0\.7,.* 0 unparseable", shown)
    assert re.search(r"official  a\.jsonl: .*'Accuracy': 0\.95,", shown)
    assert re.search(r"lmms-eval  b\.jsonl: .* 20 unparseable", shown)
    assert "+25.2" in shown  # F1: a has TP 10, FP 1, FN 0, b 7, 3, 3: 20 / 21 - 14 / 20 = .2524


@pytest.mark.slow
def test_published_answers_are_scored(shared: Path, capsys: Printed) -> None:
    said, labels = (
        str(shared / f"golden/pope/llava15_random910_{kind}.jsonl")
        for kind in ("answers", "labels")
    )
    run("recorded_answers.py", said, said, labels)
    # The official scorer's, of the same file; lmms-eval reads whole answers and finds none right.
    shown = capsys.readouterr().out
    assert "0.8989" in shown and "910 unparseable" in shown


def test_a_plug_in_is_found_by_its_entry_points(tmp_path: Path, monkeypatch: Monkey) -> None:
    package = EXAMPLES / "plug_in"
    groups = tomllib.loads((package / "pyproject.toml").read_text())["project"]["entry-points"]
    installed = tmp_path / "halluc_plug_in-0.1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: halluc-plug-in\nVersion: 0\n")
    (installed / "entry_points.txt").write_text(
        "\n".join(
            f"[{group}]\n" + "\n".join(f"{name} = {place}" for name, place in entries.items())
            for group, entries in groups.items()
        )
    )
    monkeypatch.setattr(sys, "path", [str(package), str(tmp_path), *sys.path])
    importlib.invalidate_caches()
    with ExitStack() as stack:
        for registry in (REGISTRY, BENCHMARKS):
            stack.enter_context(registry.scratch())
            monkeypatch.setattr(registry, "_discovered", False)
        command = "eval --method cooler --benchmarks absent --limit 3"
        done = CliRunner().invoke(app, command.split())
        assert done.exit_code == 0, done.exception or done.output
        assert "cooler" in done.output and "denied" in done.output
    for module in [name for name in sys.modules if name.startswith("halluc_plug_in")]:
        del sys.modules[module]


@pytest.mark.parametrize("notebook", sorted(EXAMPLES.glob("*.ipynb")), ids=lambda file: file.stem)
def test_notebooks_run_from_top_to_bottom(notebook: Path, monkeypatch: Monkey) -> None:
    cells = json.loads(notebook.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code and not any(cell["outputs"] or cell["execution_count"] for cell in code)
    space: dict[str, object] = {"__name__": "notebook", "limit": 1}
    with REGISTRY.scratch():
        for cell in code:
            text = "".join(cell["source"]).replace("limit = 2", "limit = 1")
            exec(compile(text, notebook.name, "exec"), space)


def test_there_are_five_scripts_and_two_notebooks() -> None:
    kinds = [path.suffix for path in EXAMPLES.iterdir() if path.name[0] not in "._"]
    assert kinds.count(".py") + (EXAMPLES / "plug_in").is_dir() == 5
    assert kinds.count(".ipynb") == 2
