"""What is kept in run folders, compared: answers by key, scores but for times."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.kit.command import HALLUC

TIMES = ("seconds", "peak_memory", "images_encoded")
"""Fields of an answer that say what answering took."""


def kept_answers(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return by run folder and key the answers kept below a folder, every line of every file.

    Args:
        folder: Of run folders, at any depth.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for file in sorted(folder.glob("**/answers_*.jsonl")):
        for line in file.read_bytes().split(b"\n")[:-1]:
            answer = json.loads(line)
            answer.pop("more", None)
            for name in TIMES:
                del answer[name]
            found.setdefault(f"{file.parent.name}/{answer['key']}", []).append(answer)
    return found


def kept_scores(folder: Path) -> dict[str, Any]:
    """Return by file the scores and readings kept below a folder, without times and places."""
    found: dict[str, Any] = {}
    for file in sorted(folder.glob("**/scores_*.json")):
        scores = json.loads(file.read_text())
        for name in ("date", "where", "checksum", "untouched"):
            del scores[name]
        for name in ("seconds", "peak_memory_bytes"):
            del scores["cost"][name]
        found[f"{file.parent.name}/{file.name}"] = scores
    for file in sorted(folder.glob("**/readings_*.jsonl")):
        found[f"{file.parent.name}/{file.name}"] = file.read_bytes()
    return found


def environment(**changes: str) -> dict[str, str]:
    """Return the environment of a command whose output is compared."""
    return os.environ | {"NO_COLOR": "1", "COLUMNS": "200", "OMP_NUM_THREADS": "1"} | changes


def run_killed(
    arguments: Sequence[str], cwd: Path, rng: random.Random, longest: float
) -> subprocess.CompletedProcess[bytes]:
    """Start a command again and again, killed at random moments; the last time it may end.

    Args:
        rng: Draws the moments.
        longest: Seconds within which it is killed.

    Returns:
        The command that ended by itself.
    """
    for _ in range(3):
        with subprocess.Popen(
            [*HALLUC, *arguments],
            cwd=cwd,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as process:
            time.sleep(rng.uniform(0.3, longest))
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                break
    return subprocess.run(
        [*HALLUC, *arguments], cwd=cwd, env=environment(), capture_output=True, timeout=300
    )
