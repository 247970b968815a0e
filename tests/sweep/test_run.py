"""Sweeps of a tiny random model: killed and taken up, shared, reported."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from halluc.config import MethodConfig, RunConfig
from halluc.evaluation import Evaluation, evaluate, evaluate_together
from halluc.store import RunFolder, find_scored
from halluc.sweep.config_file import load_sweep
from halluc.sweep.running import Sweep, run_sweep
from tests.kit.command import HALLUC, halluc


def answers(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """(Run, sample) to the line kept of it."""
    found = {}
    for file in sorted(folder.glob("*/answers_*.jsonl")):
        for line in file.read_text().splitlines():
            if line.endswith("}"):
                found[file.parent.name, json.loads(line)["id"]] = json.loads(line)
    return found


def test_a_killed_sweep_goes_on_at_the_point_and_the_sample(tiny: Path, tmp_path: Path) -> None:
    command = ["sweep", "--model", str(tiny), "--method", "paint", "--sweep", "alpha=0.2:1:0.4"]
    command += ["--benchmarks", "glyph_pope", "--limit", "6", "--batch-size", "4"]
    whole = halluc(*command, "--output-dir", "whole", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    with subprocess.Popen(
        [*HALLUC, *command, "--output-dir", "cut"], cwd=tmp_path, stderr=subprocess.DEVNULL
    ) as running:
        while len(answers(tmp_path / "cut/sweeps")) < 60 and running.poll() is None:
            time.sleep(0.002)
        running.send_signal(signal.SIGKILL)
    before = answers(tmp_path / "cut/sweeps")
    expected = answers(tmp_path / "whole/sweeps")
    assert 60 <= len(before) < len(expected)
    again = halluc(*command, "--output-dir", "cut", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    after = answers(tmp_path / "cut/sweeps")
    assert {key: line["text"] for key, line in after.items()} == {
        key: line["text"] for key, line in expected.items()
    }
    took = {key: after[key]["seconds"] for key in before}
    assert took == {key: line["seconds"] for key, line in before.items()}  # not asked again
    left = [line for line in again.stderr.splitlines() if "4 runs" in line][-1]
    tuned = sum("tune" in line["image_id"] for line in expected.values())
    assert f"/{tuned - len(before)}," in left


def test_runs_side_by_side_are_those_run_one_by_one(tiny: Path, tmp_path: Path) -> None:
    methods = [
        MethodConfig(),
        MethodConfig(name="vhr"),
        MethodConfig(name="paint", params={"alpha": 2}),
        MethodConfig(name="paint", params={"alpha": 3}),
    ]
    benchmarks = ("glyph_pope", "glyph_mme")
    configs = [
        RunConfig(model={"name": str(tiny)}, method=m, benchmarks=benchmarks, limit=3)
        for m in methods
    ]
    together = evaluate_together([*configs, configs[1]], tmp_path / "together")
    alone = [evaluate(config, tmp_path / "alone") for config in configs]
    assert together[4] == together[1]
    for one, other in zip(together, alone, strict=False):
        assert one.folder.path.name == other.folder.path.name
        assert scored(one) == scored(other)
        for name in benchmarks:
            pairs = zip(one.folder.answers(name), other.folder.answers(name), strict=True)
            assert all((a.id, a.text, a.yes_no) == (b.id, b.text, b.yes_no) for a, b in pairs)


def scored(run: Evaluation) -> dict[str, Any]:
    """What was scored, but for the time it took and when that was."""
    found = {}
    for name, scores in run.scores.items():
        found[name] = scores.model_dump(exclude={"date", "where", "checksum"})
        found[name]["cost"] = scores.cost.model_dump(exclude={"seconds", "peak_memory_bytes"})
    return found


def run(tiny: Path, folder: Path, **change: Any) -> Sweep:
    given = {
        "model": str(tiny),
        "method": "paint",
        "sweep": "alpha=0,4",
        "benchmarks": "glyph_pope",
        "limit": 4,
    } | change
    given["sweep"] = [given["sweep"]]
    return run_sweep(load_sweep(None, given), folder)


def test_the_best_is_reported_on_other_images(tiny: Path, tmp_path: Path) -> None:
    done = run(tiny, tmp_path, objective="glyph_pope.accuracy")
    assert done.best is not None
    assert done.reported
    images = []
    for split, part in (("tune", (done.baseline, *done.points)), ("test", done.reported)):
        runs = [RunFolder.read(tmp_path / "sweeps" / n) for outcome in part for n in outcome.runs]
        every = [one for run in runs for one in find_scored(run)]
        asked = [one for one in every if one.scores.asked.split == split]
        assert len(asked) == len(part)
        images.append({image for one in asked for image in one.images})
    assert [len(part) for part in images] == [4, 4]
    assert not images[0] & images[1]


def test_a_method_that_does_nothing_is_said_to(tiny: Path, tmp_path: Path) -> None:
    from halluc.sweep.sweep_files import notes

    done = run(
        tiny, tmp_path, objective="glyph_pope.accuracy", method_args="beta=0", sweep="alpha=0"
    )
    assert done.points[0].same
    assert done.ties == (1, 1)
    assert (done.best, done.reported) == (None, ())
    assert "paint changes nothing here" in " ".join(notes(done))


def test_without_a_part_to_tune_on_it_says_so(tiny: Path, tmp_path: Path) -> None:
    from halluc.sweep.sweep_files import notes, summary

    done = run(tiny, tmp_path, objective="glyph_pope.accuracy", tune_share=0)
    assert done.reported == ()
    assert summary(done)["disjoint"] is False
    assert "SAME images" in " ".join(notes(done))


def test_seeds_are_taken_together(tiny: Path, tmp_path: Path) -> None:
    change = {"objective": "glyph_pope.accuracy", "gen_kwargs": "do_sample=true"}
    done = run(tiny, tmp_path, **change, seeds="0,1")
    assert len(done.baseline.runs) == 2
    one, two = (run(tiny, tmp_path, **change, seeds=seed).baseline for seed in ("0", "1"))
    assert one.values != two.values
    goal = (
        "glyph_pope.random/accuracy"  # a share of as many questions: the mean is the share of all
    )
    assert done.baseline.values[goal].value == pytest.approx(
        (one.values[goal].value + two.values[goal].value) / 2
    )
    assert done.baseline.n_images == {"glyph_pope": 4}


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [
        (["--method", "var", "--sweep", "kep=1"], "did you mean 'keep'"),
        (["--method", "var", "--sweep", "keep=0.9:0.1:0.2"], "is an empty range"),
        (["--method", "var"], "no --sweep"),
        (["--method", "var", "--sweep", "keep=1", "--model", "glyf"], "unknown model 'glyf'"),
        (["--config", "nowhere.yaml"], "nowhere.yaml: no such file"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    arguments: list[str], culprit: str, tmp_path: Path
) -> None:
    done = halluc("sweep", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert culprit in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
