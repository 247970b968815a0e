"""The commands of docs/scale.md are valid, and the files in examples/ are what they say."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from halluc.cli.app import app
from tests.data.test_bundle import r_bench
from tests.kit.runs import write_run

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
PAGE = (ROOT / "docs/scale.md").read_text()
COMMANDS = re.findall(r"^    (\S.*)$", PAGE, flags=re.MULTILINE)
OURS = [line for line in COMMANDS if line.startswith("halluc ")]


class Valid(Exception):
    """The command came to the point where it would load a model or start something."""


def stop(*_: Any, **__: Any) -> None:
    raise Valid


def typed(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a command up to the point where it would load a model, or reach a cluster."""
    for starting in (
        "halluc.evaluation.open_model",
        "halluc.sweep.running.open_model",
        "halluc.evaluation.ray_cluster.RayAnswering",
        "halluc.cli.evaluate.answer_in_processes",
    ):
        monkeypatch.setattr(starting, stop)
    monkeypatch.setattr("halluc.errors.find_spec", lambda name: True)
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0 or isinstance(done.exception, Valid), done.exception or done.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the page's commands name."""
    folder = tmp_path_factory.mktemp("scale")
    write_run(folder / "runs", benchmarks=("glyph_mme",), limit=3)
    r_bench(folder / "DIR")
    return folder


@pytest.mark.parametrize("command", [line for line in OURS if " unpack " not in line])
def test_commands_of_the_page_are_valid(
    command: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HALLUC_CACHE", str(folder / "cache"))
    typed(shlex.split(command)[1:], monkeypatch)
    if " pack " in command:
        (unpack,) = (line for line in OURS if " unpack " in line)
        typed(shlex.split(unpack)[1:], monkeypatch)


def test_what_launchers_start_is_valid(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    launched = [line for line in COMMANDS if " eval " in line and not line.startswith("halluc ")]
    started = [line.split("examples/torchrun.sh", 1) for line in COMMANDS if "torchrun.sh" in line]
    assert len(launched) == 1 and len(started) == 1
    typed(shlex.split("eval" + launched[0].split(" eval", 1)[1]), monkeypatch)
    typed(shlex.split("eval" + started[0][1]), monkeypatch)


def test_every_other_line_names_a_file_that_is_there() -> None:
    others = [line for line in COMMANDS if not line.startswith(("halluc ", "accelerate ", "pip "))]
    for line in others:
        (named,) = re.findall(r"examples/[\w.-]+", line)
        assert (ROOT / named).is_file()
    started = (".sbatch", ".sh", ".yaml")
    assert {path.name for path in EXAMPLES.iterdir() if path.suffix in started} == set(
        re.findall(r"\.\./examples/([\w.-]+)", PAGE)
    ) | {"torchrun.sh"}


@pytest.mark.parametrize("name", ["slurm.sbatch", "torchrun.sh"])
def test_scripts_are_bash(name: str) -> None:
    subprocess.run(["bash", "-n", str(EXAMPLES / name)], check=True)


@pytest.mark.parametrize(("task", "shard"), [("3", "auto"), (None, "none")])
def test_the_job_asks_for_a_part_in_an_array_and_for_all_outside(
    task: str | None, shard: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    echo = tmp_path / "halluc"
    echo.write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n')
    echo.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    environment |= {"SLURM_ARRAY_TASK_ID": task} if task else {}
    environment |= {"SLURM_ARRAY_TASK_COUNT": "8", "SLURM_ARRAY_TASK_MIN": "1"}
    environment["MODEL"] = "glyph"
    done = subprocess.run(
        ["bash", str(EXAMPLES / "slurm.sbatch"), "--limit", "3"],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    command = done.stdout.splitlines()
    assert command[command.index("--shard") + 1] == shard
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    typed(command, monkeypatch)


def test_the_ray_job_asks_for_as_many_workers_as_it_has(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    job = yaml.safe_load((EXAMPLES / "ray-job.yaml").read_text())
    assert job["kind"] == "RayJob"
    command = shlex.split(job["spec"]["entrypoint"])
    (workers,) = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert command[command.index("--ray-workers") + 1] == str(workers["replicas"])
    monkeypatch.chdir(tmp_path)
    typed(command[1:], monkeypatch)


@pytest.mark.slow
def test_torchrun_starts_two_processes_and_the_last_scores(tiny: Path, tmp_path: Path) -> None:
    bin = Path(sys.executable).parent
    if not (bin / "torchrun").is_file():
        pytest.skip("needs torchrun, which comes with torch")
    done = subprocess.run(
        [EXAMPLES / "torchrun.sh", "--model", tiny, "--benchmarks", "glyph_pope", "--limit", "4"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"PATH": f"{bin}:{os.environ['PATH']}", "PROCESSES": "2"},
    )
    assert done.returncode == 0, done.stderr
    assert "accuracy" in done.stdout
    (run,) = (tmp_path / "runs").iterdir()
    assert {file.name for file in run.glob("answers_*")} == {
        f"answers_glyph_pope.{number}of2.jsonl" for number in (1, 2)
    }
