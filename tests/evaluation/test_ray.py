"""Ray: workers on two raylets answer as this process does, whoever dies."""

from __future__ import annotations

import io
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from halluc.config import MethodConfig, ModelConfig, RunConfig
from halluc.errors import UserError
from halluc.evaluation import Evaluation, evaluate_together
from halluc.evaluation.ray_cluster import RayAnswering
from halluc.evaluation.ray_pool import Cluster
from halluc.evaluation.ray_worker import groups_of
from halluc.evaluation.running import samples_of
from halluc.scoring.building import build
from halluc.sweep.config_file import load_sweep
from halluc.sweep.running import run_sweep
from halluc.types import Answer, Sample
from tests.kit.command import HALLUC, halluc
from tests.kit.kept import kept_answers, kept_scores

needs_ray = pytest.mark.skipif(not find_spec("ray"), reason="needs pip install 'halluc[cluster]'")


class Machines:
    """A cluster of two raylets on this machine.

    Args:
        cpus: CPUs that each offers.
    """

    def __init__(self, cpus: int) -> None:
        from ray.cluster_utils import Cluster as Raylets

        self._cluster = Raylets(
            initialize_head=True, head_node_args={"num_cpus": cpus, "include_dashboard": False}
        )
        self._other = self._cluster.add_node(num_cpus=cpus)
        self._cluster.wait_for_nodes()
        self.address: str = self._cluster.address

    def stop(self) -> None:
        import ray

        ray.shutdown()
        self._cluster.shutdown()

    def lose_one(self) -> None:
        """Kill the raylet that is not the head, and all that runs on it."""
        self._cluster.remove_node(self._other, allow_graceful=False)


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    two = Machines(2)
    yield two
    two.stop()


def run(model: Path | str, limit: int = 16, method: str = "paint", **more: Any) -> list[RunConfig]:
    base = RunConfig(
        model=ModelConfig(name=str(model)),
        benchmarks=("glyph_chair",),
        limit=limit,
        batch_size=4,
        **more,
    )
    return [base, base.model_copy(update={"method": MethodConfig(name=method)})]


def evaluated(
    configs: list[RunConfig], folder: Path, cluster: Cluster | None = None
) -> tuple[list[Evaluation], list[str]]:
    """Evaluate here or on a cluster; also return what was reported."""
    console, said = Console(file=io.StringIO()), list[str]()
    if cluster is None:
        return evaluate_together(configs, folder, console=console), said
    with RayAnswering(cluster, configs, said.append) as there:
        return evaluate_together(configs, folder, console=console, elsewhere=there), said


def same(folder: Path, other: Path) -> bool:
    """Whether nothing is lost or doubled, and all is scored alike."""
    assert answers(folder) == answers(other)
    assert kept_scores(folder) == kept_scores(other)
    return True


def answers(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """What is kept; probabilities vary in the last digits with the prompts of a batch."""
    kept = kept_answers(folder)
    for answer in (answer for lines in kept.values() for answer in lines):
        answer["yes_no"] = answer["yes_no"] and [round(p, 3) for p in answer["yes_no"]]
    return kept


def lines(folder: Path) -> int:
    return sum(len(file.read_bytes().splitlines()) for file in folder.glob("*/answers_*.jsonl"))


class Losing(RayAnswering):
    """Two workers, of which one is lost as soon as both are there and a batch is answered."""

    lose: Callable[[], None] | None = None

    def __call__(self, *asked: Any) -> Iterator[tuple[str, list[Answer]]]:
        for batch in super().__call__(*asked):
            yield batch
            if self.lose is not None:
                while len(actors(os.getpid())) < 2:
                    time.sleep(0.05)
                self.lose()
                self.lose = None
                time.sleep(3)  # until it is gone, nobody is given work


def losing_one(
    lose: Callable[[], None], configs: list[RunConfig], folder: Path, cluster: Cluster
) -> list[str]:
    """Evaluate on a cluster that loses a worker; return what was reported."""
    console, said = Console(file=io.StringIO()), list[str]()
    there = Losing(cluster, configs, said.append)
    there.lose = lose
    with there:
        evaluate_together(configs, folder, console=console, elsewhere=there)
    return said


def free_cpus(address: str) -> float:
    """The CPUs of a cluster that nobody uses."""
    import ray

    with ray.init(address, log_to_driver=False, logging_level=logging.ERROR):
        return float(ray.available_resources().get("CPU", 0))


def actors(parent: int) -> list[int]:
    """The processes of actors that descend from a process."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True)
    rows = [line.split(None, 2) for line in listed.stdout.splitlines()]
    ours, found = {parent}, list[int]()
    for _ in range(4):
        ours |= {int(pid) for pid, above, *_ in rows if int(above) in ours}
    for pid, _, *args in rows:
        if (
            int(pid) in ours
            and args
            and args[0].startswith("ray::Worker")
            and "__init__" not in args[0]
        ):
            found.append(int(pid))
    return found


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Path:
    """What this process answers."""
    folder = tmp_path_factory.mktemp("alone")
    evaluated(run(tiny), folder)
    return folder


@needs_ray
@pytest.mark.slow
@pytest.mark.parametrize("workers", [4, 1])
def test_four_workers_answer_as_one_and_as_this_process_do(
    workers: int, machines: Machines, tiny: Path, tmp_path: Path, alone: Path
) -> None:
    evaluated(run(tiny), tmp_path, Cluster(machines.address, workers))
    assert same(tmp_path, alone)
    deadline = time.monotonic() + 60
    while free_cpus(machines.address) < 4:  # no worker outlives the run
        assert time.monotonic() < deadline
        time.sleep(0.2)


@needs_ray
@pytest.mark.slow
def test_a_raylet_that_dies_costs_no_answer(tiny: Path, tmp_path: Path, alone: Path) -> None:
    two = Machines(1)
    try:
        said = losing_one(two.lose_one, run(tiny), tmp_path, Cluster(two.address, 2))
    finally:
        two.stop()
    assert any("worker died" in text for text in said), said
    assert same(tmp_path, alone)


@needs_ray
@pytest.mark.slow
def test_a_worker_that_dies_is_replaced(
    machines: Machines, tiny: Path, tmp_path: Path, alone: Path
) -> None:
    def kill_one() -> None:
        os.kill(actors(os.getpid())[0], signal.SIGKILL)

    said = losing_one(kill_one, run(tiny), tmp_path, Cluster(machines.address, 2))
    assert any("worker died" in text for text in said), said
    assert same(tmp_path, alone)


@needs_ray
@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_a_driver_that_ends_goes_on(
    signum: int, machines: Machines, tiny: Path, tmp_path: Path, alone: Path
) -> None:
    options = ["--model", str(tiny), "--method", "paint", "--benchmarks", "glyph_chair"]
    options += ["--limit", "16", "--batch-size", "4", "--executor", "ray"]
    options += ["--address", machines.address, "--ray-workers", "2", "--output-dir", "runs"]
    first = subprocess.Popen([*HALLUC, "eval", *options], cwd=tmp_path, stderr=subprocess.PIPE)
    while lines(tmp_path / "runs") == 0:
        assert first.poll() is None
        time.sleep(0.01)
    first.send_signal(signum)
    _, complaint = first.communicate()
    assert first.returncode == (-signum if signum == signal.SIGKILL else 143)
    kept = lines(tmp_path / "runs")
    assert 0 < kept < 32
    if signum == signal.SIGTERM:
        assert complaint.decode().splitlines()[-1].startswith("halluc: stopped; all answers so far")
    while free_cpus(machines.address) < 4:  # its workers are gone, too
        time.sleep(0.2)
    evaluated(run(tiny), tmp_path / "runs", Cluster(machines.address, 2))
    assert lines(tmp_path / "runs") == 32
    assert same(tmp_path / "runs", alone)


@needs_ray
@pytest.mark.slow
def test_a_sweep_on_a_cluster_finds_what_it_finds_here(
    machines: Machines, tiny: Path, tmp_path: Path
) -> None:
    fields = {"model": str(tiny), "method": "paint", "benchmarks": "glyph_chair", "limit": 4}
    config = load_sweep(None, {**fields, "batch_size": 4, "sweep": {"alpha": [0.2, 0.6]}})
    console = Console(file=io.StringIO())
    here = run_sweep(config, tmp_path / "here", console=console)
    with RayAnswering(Cluster(machines.address, 2), [config.run("tune", None)]) as there:
        spread = run_sweep(config, tmp_path / "there", console=console, elsewhere=there)
    assert spread.best == here.best and spread.ties == here.ties
    assert same(tmp_path / "there/sweeps", tmp_path / "here/sweeps")


@needs_ray
@pytest.mark.slow
def test_what_a_worker_cannot_do_is_one_line(machines: Machines, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/config.json").write_text("{")
    cluster = Cluster(machines.address, 1)
    with pytest.raises(UserError, match="broken"):
        evaluated(run(tmp_path / "broken"), tmp_path / "runs", cluster)
    assert not (tmp_path / "runs").exists()


@needs_ray
def test_an_address_where_nobody_listens_is_refused_at_once(tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(UserError, match=r"no cluster can be reached at 127\.0\.0\.1:1 \(.*refused"):
        evaluated(run("glyph"), tmp_path, Cluster("127.0.0.1:1"))
    assert time.monotonic() - begun < 20


@needs_ray
def test_an_endpoint_is_asked_from_here() -> None:
    with pytest.raises(UserError, match="leave --executor out"):
        RayAnswering(Cluster(), run("openai:some-model"))


def test_without_ray_the_option_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("halluc.errors.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"^--executor ray needs ray: pip install ray$"):
        RayAnswering(Cluster(), run("glyph"))


@pytest.mark.parametrize(
    "options", [["--address", "auto"], ["--ray-workers", "2"], ["--gpus-per-worker", "1"]]
)
def test_options_of_a_cluster_need_the_executor(options: list[str], tmp_path: Path) -> None:
    done = halluc("eval", *options, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("halluc: ") and "need --executor ray" in done.stderr
    assert done.stderr.count("\n") == 1


def sample(id: str, image: str, follows: str | None = None) -> Sample:
    return Sample(id, image, "?", lambda: None, follows=follows)  # type: ignore[arg-type,return-value]


def test_groups_hold_every_missing_sample_once_and_images_whole() -> None:
    samples = samples_of(build("glyph_pope"), run("glyph", limit=7)[0])
    missing = {"a": samples, "b": samples[3:40]}
    groups = groups_of(missing, {"a": {}, "b": {}}, 3)
    assert len(groups) == 3
    for key, wanted in missing.items():
        asked = [id for group in groups for id in group.missing.get(key, [])]
        assert sorted(asked) == sorted(s.id for s in wanted)
    image_of = {s.id: s.image_id for s in samples}
    images = [{image_of[id] for ids in g.missing.values() for id in ids} for g in groups]
    assert sum(map(len, images)) == len(set.union(*images)) == 7


def test_a_conversation_goes_on_from_turns_of_its_own_image() -> None:
    second = sample("2", "cat.jpg", follows="1")
    first = Answer.of(sample("1", "cat.jpg"), text="a cat")
    other = Answer.of(sample("3", "dog.jpg"), text="a dog")
    (group,) = groups_of({"a": [second]}, {"a": {"1": first, "3": other}}, 4)
    assert group.missing == {"a": ["2"]}
    assert group.known == {"a": {"1": first}}
