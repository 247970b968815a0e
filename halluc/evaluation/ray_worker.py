"""What a worker on a Ray cluster does: hold a model, and answer groups of images for a driver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from halluc.calibration import Calibration
from halluc.config import RunConfig, content_hash
from halluc.errors import UserError
from halluc.evaluation.asking import Known, answering_here
from halluc.evaluation.preparing import Model, Run, open_model, prepare
from halluc.evaluation.running import samples_of
from halluc.interventions.touch import Touch
from halluc.scoring.building import build
from halluc.store import Asker
from halluc.types import Answer, Sample


@dataclass(frozen=True)
class Task:
    """What a driver asks of its workers about one benchmark.

    Attributes:
        benchmark: The benchmark's name.
        configs: By run, its configuration with resolved parameters.
        askers: By run, the key of the asker whose answers are wanted.
    """

    benchmark: str
    configs: Mapping[str, RunConfig]
    askers: Mapping[str, str]

    @property
    def key(self) -> str:
        """Differs where other samples are asked."""
        config = next(iter(self.configs.values()))
        options = config.benchmark_args.get(self.benchmark)
        return content_hash([self.benchmark, options, config.limit, config.decoding.max_new_tokens])


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
    """A model on a node of the cluster.

    Args:
        configs: Runs whose methods the model has to serve.
    """

    def __init__(self, configs: Sequence[RunConfig]) -> None:
        self._configs = configs
        self._model: Model | None = None
        self._runs: dict[str, Run] = {}
        self._samples: dict[str, dict[str, Sample]] = {}
        self._touches: dict[tuple[str, str], Touch] = {}

    def fingerprint(self) -> str:
        """Load the model, if it is not loaded yet; return the hash of its weights.

        Raises:
            UserError: If it cannot be loaded here.
        """
        return self._loaded().fingerprint

    def describe(self, config: RunConfig, calibration: Calibration | None) -> Asker:
        """Make a run's method for the model, and say whose answers those are."""
        return prepare(self._loaded(), config, calibration, Path()).folder.asker

    def answer(
        self, task: Task, group: Group
    ) -> tuple[list[tuple[str, list[Answer]]], dict[str, bool]]:
        """Answer a group; also return by run whether its method edited nothing so far.

        Raises:
            UserError: If this node would not give the answers of the driver's runs.
        """
        common = next(iter(task.configs.values()))
        samples = self._asked(task, common)
        runs = {key: self._run(task, key) for key in group.missing}
        try:
            missing = {key: [samples[id] for id in ids] for key, ids in group.missing.items()}
        except KeyError as error:
            raise other_data(task.benchmark, error.args[0]) from None
        touches = {key: self._touches.setdefault((task.key, key), Touch()) for key in runs}
        answering = answering_here(self._loaded(), common.batch_size, common.share, 0)
        batches = list(answering(task.benchmark, runs, missing, group.known, touches))
        return batches, {key: touch.nothing for key, touch in touches.items()}

    def _loaded(self) -> Model:
        if self._model is None:
            self._model = open_model(self._configs)
        return self._model

    def _asked(self, task: Task, common: RunConfig) -> dict[str, Sample]:
        if task.key not in self._samples:
            options = dict(common.benchmark_args.get(task.benchmark, {}))
            options.pop("judge", None)  # the driver scores
            samples = samples_of(build(task.benchmark, options), common)
            self._samples[task.key] = {sample.id: sample for sample in samples}
        return self._samples[task.key]

    def _run(self, task: Task, key: str) -> Run:
        if key not in self._runs:
            run = prepare(self._loaded(), task.configs[key], None, Path())
            if run.folder.asker.key != task.askers[key]:
                raise UserError(
                    f"{key}: a node of the cluster has another device, model, method or library "
                    f"than the first one; it would answer as {run.folder.asker.folder_name}"
                )
            self._runs[key] = run
        return self._runs[key]


def groups_of(
    missing: Mapping[str, list[Sample]], known: Mapping[str, Known], count: int
) -> list[Group]:
    """Split what runs lack into about `count` groups, the samples of an image together.

    A conversation may go on from turns that are known; they go with the group of its image.
    """
    images = list(dict.fromkeys(s.image_id for samples in missing.values() for s in samples))
    size = max(1, ceil(len(images) / count))
    place = {image: number // size for number, image in enumerate(images)}
    groups = [Group({}, {}) for _ in range(ceil(len(images) / size))]
    for key, samples in missing.items():
        for sample in samples:
            groups[place[sample.image_id]].missing.setdefault(key, []).append(sample.id)
    for key, answers in known.items():
        for id, answer in answers.items():
            if (number := place.get(answer.image_id)) is not None:
                groups[number].known.setdefault(key, {})[id] = answer
    return [
        Group(group.missing, {key: group.known.get(key, {}) for key in group.missing})
        for group in groups
    ]


def other_data(benchmark: str, id: str) -> UserError:
    """Return the error of a node whose data is not the driver's."""
    return UserError(
        f"{benchmark}: a node of the cluster reads other data than this machine, first at {id!r}; "
        "all nodes need the same files in the same folder"
    )
