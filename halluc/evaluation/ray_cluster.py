"""Answers from a Ray cluster: actors that hold a model each, and groups of images for them.

The driver keeps the answers, so nodes need no shared folder; a group whose actor dies is given to
another one. A driver that dies goes on like any other evaluation: from what is kept.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from halluc.config import MethodConfig, RunConfig
from halluc.errors import UserError
from halluc.evaluation.asking import Known, answering_here
from halluc.evaluation.preparing import Run, open_model, prepare
from halluc.evaluation.running import samples_of
from halluc.interventions.touch import Touch
from halluc.scoring.building import build
from halluc.types import Answer, Sample

GROUPS = 8
"""Groups of images for each actor: few enough to fill batches, enough to share out evenly."""
DEATHS = 3
"""Actors that may die for each one wanted before a run ends."""


@dataclass(frozen=True)
class Cluster:
    """Where actors run.

    Attributes:
        address: Of the cluster; None for the one that RAY_ADDRESS names, or a new one here.
        actors: The number of actors that hold a model each.
        gpus: GPUs of each; None for 1 where the cluster has any.
    """

    address: str | None = None
    actors: int = 1
    gpus: float | None = None


@dataclass(frozen=True)
class Group:
    """Some images' samples.

    Attributes:
        missing: By run, the ids of the samples to answer.
        known: By run, earlier answers about the same images, from which conversations go on.
    """

    missing: dict[str, list[str]]
    known: dict[str, Known]


class Worker:
    """What an actor does: load the model once, answer groups of images.

    Args:
        configs: Of the runs, by the name of their folder, with resolved parameters.
    """

    def __init__(self, configs: Mapping[str, RunConfig]) -> None:
        self._model = open_model(list(configs.values()))
        self._runs: dict[str, Run] = {}
        self._samples: dict[str, dict[str, Sample]] = {}

    def answer(
        self, benchmark: str, configs: Mapping[str, RunConfig], group: Group
    ) -> tuple[list[tuple[str, list[Answer]]], dict[str, bool]]:
        """Answer a group; also return by run whether its method edited anything.

        Raises:
            UserError: If this node would not give the answers of the driver's runs.
        """
        common = next(iter(configs.values()))
        if benchmark not in self._samples:
            built = build(benchmark, common.benchmark_args.get(benchmark))
            self._samples[benchmark] = {s.id: s for s in samples_of(built, common)}
        samples = self._samples[benchmark]
        runs = {key: self._run(key, configs[key]) for key in group.missing}
        missing = {key: [samples[id] for id in ids] for key, ids in group.missing.items()}
        touches = {key: Touch() for key in runs}
        answering = answering_here(self._model, common.batch_size, common.share, 0)
        batches = list(answering(benchmark, runs, missing, group.known, touches))
        return batches, {key: touch.nothing for key, touch in touches.items()}

    def _run(self, key: str, config: RunConfig) -> Run:
        if key not in self._runs:
            run = prepare(config, self._model, None, Path())
            mine = run.folder.asker.key
            if not key.endswith(mine):
                raise UserError(
                    f"{key}: a node of the cluster has another model, method or library than this "
                    f"machine; its answers are those of {run.folder.asker.folder_name}"
                )
            self._runs[key] = run
        return self._runs[key]


class RayAnswering:
    """Actors on a Ray cluster that answer for this process; they stay until it ends.

    Args:
        cluster: Where they run.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._idle: list[Any] = []
        self._deaths = 0

    def __call__(
        self,
        benchmark: str,
        runs: Mapping[str, Run],
        missing: Mapping[str, list[Sample]],
        known: Mapping[str, Known],
        touches: Mapping[str, Touch],
    ) -> Iterator[tuple[str, list[Answer]]]:
        """Answer what runs lack, in the order in which groups are done.

        Raises:
            UserError: If the cluster cannot be reached, its nodes would answer otherwise, or
                actors keep dying.
        """
        import ray

        configs = {key: _resolved(run) for key, run in runs.items()}
        waiting = deque(groups_of(missing, known, self._cluster.actors * GROUPS))
        self._start(configs)
        asked: dict[Any, tuple[Any, Group]] = {}
        edited = dict.fromkeys(runs, False)
        while waiting or asked:
            while waiting and self._idle:
                actor, group = self._idle.pop(), waiting.popleft()
                asked[actor.answer.remote(benchmark, configs, group)] = actor, group
            (done, *_), _ = ray.wait(list(asked), num_returns=1)
            actor, group = asked.pop(done)
            try:
                batches, nothing = ray.get(done)
            except ray.exceptions.RayTaskError as error:
                raise _cause(error) from None
            except ray.exceptions.RayError as error:
                waiting.appendleft(group)
                self._replace(configs, error)
                continue
            self._idle.append(actor)
            for key, none in nothing.items():
                edited[key] |= not none
                touches[key].batches, touches[key].seen = 1, edited[key]
            yield from batches

    def _start(self, configs: Mapping[str, RunConfig]) -> None:
        import ray

        if not ray.is_initialized():
            try:
                ray.init(self._cluster.address, log_to_driver=False, logging_level=logging.ERROR)
            except (ConnectionError, RuntimeError, ValueError) as error:
                reason = str(error).strip().split("\n", 1)[0]
                raise UserError(f"--executor ray: no cluster can be reached ({reason})") from error
        while len(self._idle) < self._cluster.actors:
            self._idle.append(self._actor(configs))

    def _actor(self, configs: Mapping[str, RunConfig]) -> Any:
        import ray

        gpus = self._cluster.gpus
        if gpus is None:
            gpus = 1 if ray.cluster_resources().get("GPU") else 0
        return ray.remote(num_cpus=1, num_gpus=gpus)(Worker).remote(configs)

    def _replace(self, configs: Mapping[str, RunConfig], error: Exception) -> None:
        """Start an actor in place of one that died.

        Raises:
            UserError: If too many have died.
        """
        self._deaths += 1
        if self._deaths > DEATHS * self._cluster.actors:
            reason = str(error).strip().split("\n", 1)[0]
            raise UserError(f"--executor ray: {self._deaths} actors died, the last: {reason}")
        self._idle.append(self._actor(configs))


def groups_of(
    missing: Mapping[str, list[Sample]], known: Mapping[str, Known], count: int
) -> list[Group]:
    """Split what runs lack into about `count` groups, the samples of an image together.

    A conversation may go on from turns that are known; they go with the group of its image.
    """
    images = list(dict.fromkeys(s.image_id for samples in missing.values() for s in samples))
    size = max(1, ceil(len(images) / count))
    groups = []
    for start in range(0, len(images), size):
        mine = set(images[start : start + size])
        groups.append(
            Group(
                {
                    key: ids
                    for key, samples in missing.items()
                    if (ids := [s.id for s in samples if s.image_id in mine])
                },
                {
                    key: {id: a for id, a in answers.items() if a.image_id in mine}
                    for key, answers in known.items()
                },
            )
        )
    return groups


def _resolved(run: Run) -> RunConfig:
    method = MethodConfig(name=run.config.method.name, params=run.folder.asker.method.resolved)
    return run.config.model_copy(update={"method": method})


def _cause(error: Any) -> Exception:
    """Return the error of an actor that a user can correct; else what Ray raised."""
    cause = getattr(error, "cause", None)
    return UserError(str(cause)) if isinstance(cause, UserError) else error
