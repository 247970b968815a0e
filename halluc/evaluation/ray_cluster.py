"""Answers from a Ray cluster: workers that hold a model each, and groups of images for them.

The driver loads no model and alone keeps the answers, so nodes need no shared folder for them. A
group whose worker dies is given to another one. A driver that dies goes on like any other
evaluation: from what is kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType

from halluc.calibration import Calibration
from halluc.config import MethodConfig, RunConfig
from halluc.errors import UserError, needs_packages
from halluc.evaluation.asking import Known
from halluc.evaluation.preparing import Run
from halluc.evaluation.ray_pool import Cluster, Pool
from halluc.evaluation.ray_worker import Group, Task, groups_of, other_data
from halluc.interventions.compose import find
from halluc.interventions.touch import Touch
from halluc.models.names import endpoint_name
from halluc.store import RunFolder
from halluc.types import Answer, Sample

GROUPS = 8
"""Groups of images for each worker: few enough to fill batches, enough to share out evenly."""
DEATHS = 3
"""Workers that may die over the same group before the run ends."""


class RayAnswering:
    """Workers on a Ray cluster that prepare and answer for this process while a `with` lasts.

    Args:
        cluster: Where they run.
        configs: Runs whose methods the model has to serve.
        report: Is told of waiting for the cluster, and of workers that die.

    Raises:
        UserError: If Ray is not installed, or the model is behind an endpoint.
    """

    def __init__(
        self,
        cluster: Cluster,
        configs: Sequence[RunConfig],
        report: Callable[[str], None] = lambda text: None,
    ) -> None:
        needs_packages("--executor ray", "ray")
        if endpoint_name(configs[0].model.name) is not None:
            raise UserError(
                "--executor ray spreads a model over machines; one behind an endpoint is asked "
                "from this one: leave --executor out"
            )
        self._pool = Pool(cluster, configs, report)

    def __enter__(self) -> RayAnswering:
        self._pool.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.close()

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the model's weights."""
        found: str = self._pool.ask("fingerprint")
        return found

    def prepare(self, config: RunConfig, calibration: Calibration | None, output_dir: Path) -> Run:
        """Make a run's method on the first worker there is, and find the folder of its answers.

        Raises:
            UserError: If the model cannot be loaded, or the method does not fit it.
        """
        asker = self._pool.ask("describe", config, calibration)
        cls = find(config.method.name)
        method = cls(cls.parameters(asker.method.resolved))
        return Run(config, method, RunFolder.of(output_dir, asker))

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
            UserError: If a node would answer otherwise, or workers keep dying.
        """
        task = Task(
            benchmark,
            {key: _resolved(run) for key, run in runs.items()},
            {key: run.folder.asker.key for key, run in runs.items()},
        )
        groups = groups_of(missing, known, self._pool.size * GROUPS)
        prompts = {sample.id: sample.prompt for samples in missing.values() for sample in samples}
        waiting, deaths = deque(range(len(groups))), [0] * len(groups)
        self._pool.want(len(groups))
        answering = 0
        while waiting or answering:
            while waiting and self._pool.free:
                number = waiting.popleft()
                self._pool.give(number, "answer", task, groups[number])
                answering += 1
            done, found = self._pool.next_done()
            if done is None:
                continue
            answering -= 1
            if isinstance(found, Exception):
                deaths[done] += 1
                if deaths[done] == DEATHS:
                    raise UserError(
                        f"{benchmark}: {DEATHS} workers died over the same images, first "
                        f"{_first(groups[done])!r}, the last as {_line(found)}; all other "
                        "answers are kept"
                    )
                waiting.appendleft(done)
                continue
            batches, nothing = found
            _note(touches, nothing)
            for _, batch in batches:
                for answer in batch:
                    if answer.prompt != prompts.get(answer.id, answer.prompt):
                        raise other_data(benchmark, answer.id)
            yield from batches


def _note(touches: Mapping[str, Touch], nothing: Mapping[str, bool]) -> None:
    """Note that methods were watched, and which of them edited something."""
    for key, none in nothing.items():
        touches[key].batches = 1
        touches[key].seen |= not none


def _resolved(run: Run) -> RunConfig:
    method = MethodConfig(name=run.config.method.name, params=run.folder.asker.method.resolved)
    return run.config.model_copy(update={"method": method})


def _first(group: Group) -> str:
    return next(iter(group.missing.values()))[0]


def _line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]
