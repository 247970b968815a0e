"""Workers and drivers on a Ray cluster, killed at random moments: nothing is lost or doubled."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.evaluation.test_ray import Machines, actors, evaluated, needs_ray, run, same
from tests.kit.command import HALLUC
from tests.kit.kept import environment

KILLS = 20
"""At least so many of workers, and of drivers."""
LIMIT = 40


@needs_ray
@pytest.mark.slow
def test_kills_of_workers_and_drivers(tiny: Path, tmp_path: Path) -> None:
    evaluated(run(tiny, LIMIT), tmp_path / "whole")
    rng, kills = random.Random("ray"), {"worker": 0, "driver": 0}
    machines = Machines(4)
    try:
        trial = 0
        while min(kills.values()) < KILLS:
            trial += 1
            options = ["--model", str(tiny), "--method", "paint", "--benchmarks", "glyph_chair"]
            options += ["--limit", str(LIMIT), "--batch-size", "4", "--executor", "ray"]
            options += ["--address", machines.address, "--ray-workers", "4"]
            options += ["--output-dir", f"cut{trial}"]
            # A driver that has been killed often may live, so that it ends.
            for attempt in range(100):
                killed = _until_killed([*HALLUC, "eval", *options], tmp_path, rng, kills, attempt)
                if not killed:
                    break
            assert same(tmp_path / f"cut{trial}", tmp_path / "whole")
    finally:
        machines.stop()


def _until_killed(
    command: list[str], cwd: Path, rng: random.Random, kills: dict[str, int], attempt: int
) -> bool:
    """Run a driver, and kill workers or itself at random moments; whether it was killed."""
    with subprocess.Popen(
        command, cwd=cwd, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as driver:
        doomed = kills["driver"] < KILLS and attempt < 4
        end = time.monotonic() + rng.uniform(4, 16) if doomed else float("inf")
        while driver.poll() is None:
            time.sleep(rng.uniform(0.2, 1.5))
            if time.monotonic() > end:
                driver.kill()
                driver.wait()
                kills["driver"] += 1
                return True
            if kills["worker"] < KILLS and rng.random() < 0.3 and (there := actors(os.getpid())):
                try:
                    os.kill(rng.choice(there), signal.SIGKILL)
                except ProcessLookupError:
                    continue
                kills["worker"] += 1
        assert driver.stderr is not None
        said = driver.stderr.read().decode()
        # A group that killed three workers ends the run; the same command goes on.
        assert driver.returncode == 0 or "worker" in said.splitlines()[-1], said
        return driver.returncode != 0
