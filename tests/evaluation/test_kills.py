"""Killed at random moments, nothing is lost, nothing doubled, and scores are those of one go."""

from __future__ import annotations

import io
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from halluc.config import MethodConfig, ModelConfig, RunConfig
from halluc.evaluation import evaluate_together
from halluc.evaluation.sharding import Shard
from halluc.models import VisionLanguageModel, load_model
from halluc.sweep.config_file import load_sweep
from halluc.sweep.running import run_sweep
from tests.kit.kept import kept_answers, kept_scores

KILLS = 24
"""At least so many of each kind."""


@pytest.fixture(scope="module")
def model(tiny: Path) -> VisionLanguageModel:
    return load_model(str(tiny))


def quiet() -> Console:
    return Console(file=io.StringIO())


def evaluated(model: VisionLanguageModel, folder: Path, shard: Shard | None = None) -> None:
    base = RunConfig(
        model=ModelConfig(name=model.name),
        benchmarks=("glyph_pope", "glyph_chair"),
        limit=8,
        batch_size=4,
    )
    paint = base.model_copy(update={"method": MethodConfig(name="paint")})
    evaluate_together([base, paint], folder, model=model, console=quiet(), shard=shard)


def swept(model: VisionLanguageModel, folder: Path) -> None:
    options = {"sweep": {"alpha": [0.2, 0.6]}, "benchmarks": "glyph_pope", "limit": 4}
    config = load_sweep(None, {"model": model.name, "method": "paint", "batch_size": 4, **options})
    run_sweep(config, folder, console=quiet())


def in_child(act: Callable[[], None]) -> int:
    """Act in a forked process; return its id."""
    if pid := os.fork():
        return pid
    code = 1
    try:
        act()
        code = 0
    finally:
        os._exit(code)


def wait_or_kill(
    children: dict[int, Callable[[], None]], rng: random.Random, longest: float
) -> int:
    """Kill each child at a random moment unless it has ended; start those again that have not.

    Returns:
        The number of children that were killed before they had ended.
    """
    kills = 0
    moments = {pid: time.monotonic() + rng.uniform(0.01, longest) for pid in children}
    while children:
        for pid, act in list(children.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                assert status == 0, f"ended with {status}"
                del children[pid]
            elif time.monotonic() > moments[pid]:
                os.kill(pid, signal.SIGKILL)
                _, status = os.waitpid(pid, 0)
                del children[pid]
                if os.WIFSIGNALED(status):
                    kills += 1
                    again = in_child(act)
                    # The more often it was killed, the longer it may live, so that it ends.
                    moments[again] = time.monotonic() + rng.uniform(0.01, longest * (1 + kills / 8))
                    children[again] = act
        time.sleep(0.002)
    return kills


def same_as_in_one_go(whole: Path, cut: Path) -> None:
    answers, expected = kept_answers(cut), kept_answers(whole)
    assert answers.keys() == expected.keys()
    for key, lines in answers.items():
        assert len(lines) == 1, f"{key} is there {len(lines)} times"
        assert lines == expected[key]
    assert kept_scores(cut) == kept_scores(whole)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["eval", "sweep", "shards"])
def test_kills_at_random_moments(model: VisionLanguageModel, tmp_path: Path, kind: str) -> None:
    whole, rng = tmp_path / "whole", random.Random(kind)
    act = swept if kind == "sweep" else evaluated
    parts = [Shard(number, 4) for number in range(1, 5)] if kind == "shards" else []

    def in_one_go() -> None:
        for part in parts:
            evaluated(model, whole, part)
        act(model, whole)

    started = time.monotonic()
    assert os.waitpid(in_child(in_one_go), 0)[1] == 0
    took, kills, trial = time.monotonic() - started, 0, 0
    while kills < KILLS:
        trial += 1
        cut = tmp_path / f"cut{trial}"
        if kind == "shards":
            acts = [lambda part=part, cut=cut: evaluated(model, cut, part) for part in parts]
            kills += wait_or_kill({in_child(one): one for one in acts}, rng, took / 3)
            evaluated(model, cut)
        else:
            one = lambda cut=cut: act(model, cut)  # noqa: E731
            kills += wait_or_kill({in_child(one): one}, rng, took * 0.6)
        same_as_in_one_go(whole, cut)
    assert trial < KILLS
