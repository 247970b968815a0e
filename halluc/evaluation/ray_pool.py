"""Workers as actors of a Ray cluster: started as room is found, replaced when they die."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from halluc.config import RunConfig
from halluc.errors import UserError
from halluc.evaluation.ray_worker import Worker
from halluc.interruption import SIGNALS

REACH = 10.0
"""Seconds after which an address that does not answer is given up."""
PATIENCE = 30.0
"""Seconds without a worker after which a run says what it waits for."""
STARTS = 3
"""Workers that may die one after the other while they start, for each one wanted."""


@dataclass(frozen=True)
class Cluster:
    """Where workers run.

    Attributes:
        address: Of the cluster; None for the one that RAY_ADDRESS names or that runs on this
            machine, else a new one on this machine; "local" for a new one.
        workers: The number of workers that hold a model each; None for as many as have GPUs.
        gpus: GPUs of each; None for 1 where the cluster has any.
    """

    address: str | None = None
    workers: int | None = None
    gpus: float | None = None


class _Job(NamedTuple):
    """What an actor was asked to do; no number while it starts."""

    actor: Any
    number: int | None


class Pool:
    """Actors that hold a model each.

    Only an actor that has loaded the model is given work, so a cluster with less room than wanted,
    or one that grows, is used as far as it goes.

    Args:
        cluster: Where they run.
        configs: Runs whose methods the model has to serve.
        report: Is told of waiting, and of workers that die.
    """

    def __init__(
        self, cluster: Cluster, configs: Sequence[RunConfig], report: Callable[[str], None]
    ) -> None:
        self._cluster, self._configs, self._report = cluster, list(configs), report
        self._free: list[Any] = []
        self._busy: dict[Future[Any], _Job] = {}
        self._failed_starts, self._wanted, self._opened = 0, 0, False
        self.size = cluster.workers or 1
        self._gpus = cluster.gpus or 0.0

    def open(self) -> None:
        """Connect to the cluster.

        Raises:
            UserError: If it cannot be reached.
        """
        import ray

        if not ray.is_initialized():
            _reach(self._cluster.address or os.environ.get("RAY_ADDRESS", ""))
            with _own_handlers():
                try:
                    ray.init(
                        self._cluster.address, log_to_driver=False, logging_level=logging.ERROR
                    )
                except (OSError, RuntimeError, ValueError) as error:
                    raise UserError(
                        f"--executor ray: no cluster can be reached ({_line(error)})"
                    ) from error
            self._opened = True
        gpus = float(ray.cluster_resources().get("GPU", 0))
        if self._cluster.gpus is None:
            self._gpus = 1.0 if gpus else 0.0
        if self._cluster.workers is None and self._gpus:
            self.size = max(1, int(gpus / self._gpus))

    def close(self) -> None:
        """End all actors, and leave the cluster if `open` joined it."""
        import ray

        for actor in [*self._free, *(job.actor for job in self._busy.values())]:
            with suppress(ray.exceptions.RayError):
                ray.kill(actor)
        self._free.clear()
        self._busy.clear()
        if self._opened:
            with _own_handlers():
                ray.shutdown()
            self._opened = False

    @property
    def free(self) -> bool:
        """Whether an actor waits for work."""
        return bool(self._free)

    def want(self, most: int) -> None:
        """Start actors: one for each of `most` pieces of work, up to the pool's size."""
        self._wanted = max(self._wanted, min(most, self.size))
        while len(self._free) + len(self._busy) < self._wanted:
            self._start()

    def give(self, number: int, method: str, *arguments: Any) -> None:
        """Give a free actor work; `next_done` returns its number with the result."""
        actor = self._free.pop()
        future = getattr(actor, method).remote(*arguments).future()
        self._busy[future] = _Job(actor, number)

    def ask(self, method: str, *arguments: Any) -> Any:
        """Ask one actor, and another if it dies.

        Raises:
            UserError: If the actor raises it, or actors keep dying.
        """
        self.want(1)
        while True:
            while not self._free:
                self.next_done()
            self.give(0, method, *arguments)
            number, found = self.next_done()
            while number is None:
                number, found = self.next_done()
            if not isinstance(found, Exception):
                return found

    def next_done(self) -> tuple[int | None, Any]:
        """Wait until a piece of work is done, or an actor has started.

        Returns:
            The number of the work and its result, or the error by which its actor died; the number
            is None if an actor has started, or died while it started.

        Raises:
            UserError: If an actor raises it, or actors die one after the other as they start.
        """
        import ray

        while not (done := wait(self._busy, PATIENCE, FIRST_COMPLETED).done):
            if not self._free and all(job.number is None for job in self._busy.values()):
                self._report(self._waiting())
        future = next(iter(done))
        actor, number = self._busy.pop(future)
        try:
            found = future.result()
        except ray.exceptions.RayTaskError as error:
            self._free.append(actor)
            raise _cause(error) from None
        except ray.exceptions.RayError as error:
            self._replace(actor, number, error)
            return number, error
        self._free.append(actor)
        self._failed_starts = 0
        return number, found

    def _start(self) -> None:
        import ray

        made = ray.remote(num_cpus=1, num_gpus=self._gpus, scheduling_strategy="SPREAD")(Worker)
        actor: Any = made.remote(self._configs)
        self._busy[actor.fingerprint.remote().future()] = _Job(actor, None)

    def _replace(self, actor: Any, number: int | None, error: Exception) -> None:
        """Start an actor in place of one that died.

        Raises:
            UserError: If too many have died as they started.
        """
        import ray

        with suppress(ray.exceptions.RayError):
            ray.kill(actor)  # one that cannot be reached may still live
        self._failed_starts += number is None
        if self._failed_starts > STARTS * self.size:
            raise UserError(
                f"--executor ray: {self._failed_starts} workers died as they started, the last: "
                f"{_line(error)}"
            )
        self._report(f"a worker died ({_line(error)}); another takes its place")
        self._start()

    def _waiting(self) -> str:
        import ray

        there = ray.cluster_resources()
        return (
            f"waiting for a worker to start and load the model: each needs 1 CPU and "
            f"{self._gpus:g} GPUs, and the cluster has {there.get('CPU', 0):g} and "
            f"{there.get('GPU', 0):g}"
        )


def _reach(address: str) -> None:
    """Refuse an address where nothing listens; Ray itself would try for minutes.

    Raises:
        UserError: If nothing does.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"--executor ray: no cluster can be reached at {address} ({reason})"
        ) from error


@contextmanager
def _own_handlers() -> Iterator[None]:
    """Put back this program's signal handlers, which Ray replaces by its own."""
    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in SIGNALS} if main else {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _cause(error: Exception) -> Exception:
    """Return the error of an actor that a user can correct; else what Ray raised."""
    cause = getattr(error, "cause", None)
    return UserError(str(cause)) if isinstance(cause, UserError) else error


def _line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]
