"""`--processes`: a shard each on this machine; what one does not answer is asked afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from halluc.cli.processes import take_own_gpu
from tests.kit.command import HALLUC, halluc
from tests.kit.kept import environment, kept_answers, kept_scores


def options(tiny: Path, limit: int) -> list[str]:
    model = ["--model", str(tiny), "--benchmarks", "glyph_chair"]
    return ["eval", *model, "--limit", str(limit), "--batch-size", "2"]


def children(parent: int) -> list[int]:
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True)
    rows = [line.split() for line in listed.stdout.splitlines()]
    return [int(pid) for pid, above in rows if int(above) == parent]


def lines(folder: Path) -> int:
    return sum(len(file.read_bytes().splitlines()) for file in folder.glob("*/answers_*.jsonl"))


def started(arguments: list[str], folder: Path, lines_first: int = 1) -> subprocess.Popen[bytes]:
    """Start the command, and wait until its processes have answered something."""
    process = subprocess.Popen(
        [*HALLUC, *arguments],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    while lines(folder / "runs") < lines_first:
        assert process.poll() is None
        time.sleep(0.01)
    return process


def whole(folder: Path, once: Path) -> bool:
    """Whether nothing is lost or doubled, and all is scored as in one go."""
    kept = kept_answers(folder)
    assert kept.keys() == kept_answers(once).keys()
    assert all(len(lines) == 1 for lines in kept.values())
    assert kept_scores(folder) == kept_scores(once)
    return True


@pytest.mark.slow
def test_two_processes_answer_as_one(tiny: Path, tmp_path: Path) -> None:
    done = halluc(*options(tiny, 7), "--processes", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "chair_i" in done.stdout
    (run,) = (tmp_path / "runs").iterdir()
    files = sorted(file.name for file in run.glob("answers_*.jsonl"))
    assert files == [f"answers_glyph_chair.{n}of2.jsonl" for n in (1, 2)]
    assert done.stdout.count(run.name) == 1  # the shards print nothing
    assert halluc(*options(tiny, 7), "--output-dir", "once", cwd=tmp_path).returncode == 0
    assert whole(tmp_path / "runs", tmp_path / "once")


@pytest.mark.slow
def test_what_a_killed_process_has_not_answered_is_asked_by_the_first(
    tiny: Path, tmp_path: Path
) -> None:
    asked = options(tiny, 60)
    process = started([*asked, "--processes=2"], tmp_path)
    os.kill(children(process.pid)[0], signal.SIGKILL)
    said, complaint = process.communicate()
    assert process.returncode == 0
    assert b"ended with -9; what it has not answered is asked now" in complaint
    assert b"chair_i" in said
    assert halluc(*asked, "--output-dir", "once", cwd=tmp_path).returncode == 0
    assert whole(tmp_path / "runs", tmp_path / "once")


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_and_the_same_command_goes_on(
    signum: int, tiny: Path, tmp_path: Path
) -> None:
    asked = [*options(tiny, 60), "--processes", "2"]
    process = started(asked, tmp_path)
    shards = children(process.pid)
    process.send_signal(signum)
    _, complaint = process.communicate()
    assert process.returncode == 128 + signum
    assert b"halluc: stopped; all answers so far are kept" in complaint.splitlines()[-1]
    assert len(shards) == 2 and not any(Path(f"/proc/{pid}").exists() for pid in shards)
    assert 0 < lines(tmp_path / "runs") < 60
    assert halluc(*asked, cwd=tmp_path).returncode == 0
    assert lines(tmp_path / "runs") == 60


@pytest.mark.parametrize(
    ("says", "seen"),
    [
        ({"LOCAL_RANK": "1", "CUDA_VISIBLE_DEVICES": "4,6"}, "6"),
        ({"LOCAL_RANK": "3", "CUDA_VISIBLE_DEVICES": "4,6"}, "6"),
        ({"LOCAL_RANK": "1", "CUDA_VISIBLE_DEVICES": ""}, ""),
        ({"CUDA_VISIBLE_DEVICES": "4,6"}, "4,6"),
    ],
)
def test_a_process_of_a_launcher_takes_the_gpu_of_its_rank(says: dict[str, str], seen: str) -> None:
    take_own_gpu(says)
    assert says["CUDA_VISIBLE_DEVICES"] == seen
