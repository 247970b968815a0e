"""What real machines do: signals, full disks, clocks, two commands at once."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from halluc.config import ModelConfig, RunConfig
from halluc.errors import UserError
from halluc.evaluation import evaluate
from halluc.interruption import Interrupted, Stop
from halluc.store import run_folder
from tests.kit.command import HALLUC, halluc
from tests.kit.kept import environment, kept_answers, kept_scores

EVAL = ["eval", "--benchmarks", "glyph_pope", "--limit", "8", "--batch-size", "4"]


def started(tiny: Path, cwd: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*HALLUC, *EVAL, "--model", str(tiny), *more],
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_interrupts,
    )


def hear_interrupts() -> None:
    """Undo what a background job inherits: that Ctrl-C is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_for_answers(folder: Path, number: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if (
            sum(f.read_bytes().count(b"\n") for f in folder.glob("runs/*/answers_*.jsonl"))
            >= number
        ):
            return
        time.sleep(0.01)
    raise AssertionError(f"ended early: {process.communicate()}")


@pytest.mark.parametrize(
    ("signum", "code"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)],
)
def test_a_signal_finishes_the_batch_and_says_how_to_go_on(
    tiny: Path, tmp_path: Path, signum: int, code: int
) -> None:
    with started(tiny, tmp_path, "--method", "paint") as process:
        wait_for_answers(tmp_path, 8, process)
        process.send_signal(signum)
        _, said = process.communicate(timeout=60)
    assert process.returncode == code
    assert said.splitlines()[-1] == (
        "halluc: stopped; all answers so far are kept, and the same command goes on from there"
    )
    assert "Traceback" not in said
    before = kept_answers(tmp_path)
    assert 8 <= len(before) < 2 * 8 * 18
    assert not list(tmp_path.glob("runs/*/*.lock"))
    again = halluc(*EVAL, "--model", str(tiny), "--method", "paint", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    after = kept_answers(tmp_path)
    assert len(after) == 2 * 8 * 18
    assert {key: after[key] for key in before} == before


@pytest.mark.parametrize("delay", [0.05, 0.3, 1.0])
def test_a_signal_at_any_moment_of_the_start_is_one_line(
    tiny: Path, tmp_path: Path, delay: float
) -> None:
    with started(tiny, tmp_path) as process:
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    if process.returncode == -signal.SIGINT:  # before Python itself was up
        return
    if "KeyboardInterrupt" in said and "halluc/cli/entry.py" not in said:
        pytest.skip("the interpreter was not up yet")
    assert process.returncode == 130
    assert "Traceback" not in said


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with Stop() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.signum == signal.SIGTERM
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), signal.SIGTERM)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_where_an_answer_may_take_minutes_the_first_signal_ends_at_once() -> None:
    with Stop(at_once=True), pytest.raises(Interrupted):
        os.kill(os.getpid(), signal.SIGINT)


def test_two_commands_at_once_answer_once(tiny: Path, tmp_path: Path) -> None:
    with started(tiny, tmp_path) as one, started(tiny, tmp_path) as other:
        results = [process.communicate(timeout=240) for process in (one, other)]
    assert [one.returncode, other.returncode] == [0, 0], results
    answers = kept_answers(tmp_path)
    assert len(answers) == 8 * 18
    assert all(len(lines) == 1 for lines in answers.values())
    assert sum("is being written by process" in said for _, said in results) <= 1


def test_a_failed_start_leaves_no_folder(tiny: Path, tmp_path: Path) -> None:
    bad = halluc(
        *EVAL, "--model", str(tiny), "--method", "var", "--method-args", "layers=[99]", cwd=tmp_path
    )
    assert bad.returncode == 2
    assert not (tmp_path / "runs").exists()


def test_a_start_without_an_answer_leaves_no_folder(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from halluc.decoding import answering
    from halluc.interventions.attention_switch import SeamError

    def broken(*_: object, **__: object) -> None:
        raise SeamError("a seam that was never called")

    monkeypatch.setattr(answering, "generate", broken)
    config = RunConfig(model=ModelConfig(name=str(tiny)), benchmarks=("glyph_pope",), limit=1)
    with pytest.raises(SeamError):
        evaluate(config, tmp_path / "runs")
    assert not list((tmp_path / "runs").iterdir())


def test_the_clock_may_go_backwards(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = RunConfig(model=ModelConfig(name=str(tiny)), benchmarks=("glyph_pope",), limit=1)
    first = evaluate(config, tmp_path)
    monkeypatch.setattr(run_folder, "now", lambda: "1970-01-01T00:00:00Z")
    monkeypatch.setattr("halluc.store.scored_run.now", lambda: "1970-01-01T00:00:00Z")
    more = evaluate(config.model_copy(update={"limit": 2}), tmp_path)
    assert more.scores["glyph_pope"].n_images == 2
    assert evaluate(config, tmp_path).scores == first.scores


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sys.argv = ["halluc", *sys.argv[2:]]
from halluc.cli.entry import main
main()
"""


@pytest.mark.parametrize(
    "size",
    [
        5_000,
        pytest.param(600, marks=pytest.mark.slow),
        pytest.param(20_000, marks=pytest.mark.slow),
    ],
)
def test_a_full_disk_is_one_line_and_loses_nothing(tiny: Path, tmp_path: Path, size: int) -> None:
    arguments = [*EVAL, "--model", str(tiny)]
    full = subprocess.run(
        [sys.executable, "-c", LIMITED, str(size), *arguments],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert full.returncode == 2, full.stderr
    last = full.stderr.splitlines()[-1]
    assert re.match(r"halluc: \S+ ?.*(cannot be written|File too large)", last), full.stderr
    assert "Traceback" not in full.stderr
    before = kept_answers(tmp_path)
    assert len(before) < 8 * 18
    again = halluc(*arguments, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    after = kept_answers(tmp_path)
    assert {key: after[key] for key in before} == before
    assert len(after) == 8 * 18


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
def test_a_small_file_system_that_fills_up(tiny: Path, tmp_path: Path) -> None:
    mounted = tmp_path / "runs"
    mounted.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(mounted)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("may not mount here")
    arguments = [*EVAL, "--model", str(tiny)]
    try:
        full = halluc(*arguments, cwd=tmp_path)
        assert full.returncode == 2, full.stderr
        assert "No space left on device" in full.stderr.splitlines()[-1]
        before = kept_answers(tmp_path)
        subprocess.run(
            ["mount", "-o", "remount,size=4m", str(mounted)], check=True, capture_output=True
        )
        again = halluc(*arguments, cwd=tmp_path)
        assert again.returncode == 0, again.stderr
        after = kept_answers(tmp_path)
        assert {key: after[key] for key in before} == before
        assert len(after) == 8 * 18
        scores = kept_scores(mounted)
        subprocess.run(["mount", "-o", "remount,ro", str(mounted)], check=True, capture_output=True)
        read = halluc(*arguments, cwd=tmp_path)
        assert read.returncode == 0, read.stderr  # a finished run is read on a read-only disk
        assert kept_scores(mounted) == scores
        more = halluc(*[*arguments, "--limit", "9"], cwd=tmp_path)
        assert more.returncode == 2
        assert "Read-only file system" in more.stderr.splitlines()[-1]
        assert "Traceback" not in more.stderr
    finally:
        subprocess.run(["umount", "-l", str(mounted)], capture_output=True)


def test_what_a_reader_of_the_output_leaves_is_no_error(tiny: Path, tmp_path: Path) -> None:
    command = " ".join([*map(repr, HALLUC), "list", "methods"])
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} | head -1"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in done.stderr


def test_an_edited_result_is_not_believed(tiny: Path, tmp_path: Path) -> None:
    config = RunConfig(model=ModelConfig(name=str(tiny)), benchmarks=("glyph_pope",), limit=1)
    done = evaluate(config, tmp_path / "runs")
    (file,) = done.folder.scores_files()
    content = json.loads(file.read_text())
    content["values"]["f1"]["value"] = 0.99
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match="was edited"):
        done.folder.scores(file)
    board = halluc("leaderboard", "runs", cwd=tmp_path)
    assert (board.returncode, "was edited" in board.stderr) == (2, True)
    again = evaluate(config, tmp_path / "runs")  # writes the right one again
    assert done.folder.scores(file).values == again.scores["glyph_pope"].values
    assert again.scores["glyph_pope"].values["f1"].value != 0.99


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b"{" * 9999, b"null"])
def test_a_broken_scores_file_is_one_line_and_written_again(
    tiny: Path, tmp_path: Path, content: bytes
) -> None:
    config = RunConfig(model=ModelConfig(name=str(tiny)), benchmarks=("glyph_pope",), limit=1)
    done = evaluate(config, tmp_path)
    (file,) = done.folder.scores_files()
    whole = file.read_bytes()
    file.write_bytes(content)
    with pytest.raises(UserError, match="is not a scores file") as error:
        done.folder.scores(file)
    assert "\n" not in str(error.value)
    evaluate(config, tmp_path)
    assert json.loads(file.read_bytes())["values"] == json.loads(whole)["values"]
