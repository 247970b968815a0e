"""Samples answered by an endpoint, several requests at a time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import replace
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Any

from halluc.errors import UserError
from halluc.images import as_rgb, image_hash
from halluc.remote.background import in_background
from halluc.remote.client import RequestFailed
from halluc.remote.conversation import messages, parameters
from halluc.types import Answer, Sample

if TYPE_CHECKING:
    from PIL.Image import Image

    from halluc.config import DecodingConfig
    from halluc.remote.client import Endpoint
    from halluc.remote.model import EndpointModel


class _Stopped(Exception):
    """The run ends, so no further attempt is made."""


def ask_endpoint(
    model: EndpointModel, samples: Iterable[Sample], decoding: DecodingConfig, in_flight: int
) -> Iterator[Answer]:
    """Answer samples in their order; one that gets no answer fails alone.

    Their seconds add up to the time that passed. Passes through the model are not known: 0.

    Whatever ends it early, no further request is sent, and what is paid for is not lost: on an
    error, requests that are under way are waited for, and their answers given before it is raised;
    on an interrupt those that are there are given. Requests that hang are left behind.

    Args:
        in_flight: Requests at a time.

    Raises:
        EndpointRefused: If no sample can be answered.
    """
    waiting: deque[Future[Answer]] = deque()
    stopped = Event()
    timed = _Stopwatch().timed

    def next_answer() -> Answer:
        waiting[0].result()  # it stays among those that wait until it is there
        return timed(waiting.popleft().result())

    def pause(seconds: float) -> None:
        if stopped.wait(seconds):
            raise _Stopped

    try:
        for sample in samples:
            waiting.append(_sent(model.endpoint, sample, decoding, pause))
            if len(waiting) == in_flight:
                yield next_answer()
        while waiting:
            yield next_answer()
    except (Exception, KeyboardInterrupt) as error:
        stopped.set()
        if isinstance(error, Exception):
            with suppress(KeyboardInterrupt):
                wait(waiting)
        for answer in _received(waiting):
            yield timed(answer)
        raise
    finally:
        stopped.set()


class _Stopwatch:
    """Shares the time that passes among answers."""

    def __init__(self) -> None:
        self._started = time.perf_counter()

    def timed(self, answer: Answer) -> Answer:
        """Give an answer the seconds since the one before."""
        before, self._started = self._started, time.perf_counter()
        return replace(answer, seconds=self._started - before)


def _received(waiting: Iterable[Future[Answer]]) -> Iterator[Answer]:
    for future in waiting:
        if future.done() and not future.exception():
            yield future.result()


def _sent(
    endpoint: Endpoint, sample: Sample, decoding: DecodingConfig, pause: Callable[[float], None]
) -> Future[Answer]:
    """Load the image in this thread and send the request in another."""
    try:
        image = as_rgb(sample.load_image())
    except UserError:
        raise
    except Exception as error:
        failed: Future[Answer] = Future()
        failed.set_result(Answer.failed(sample, error))
        return failed
    return in_background(
        partial(_ask, endpoint, sample, image, parameters(decoding, sample), pause)
    )


def _ask(
    endpoint: Endpoint,
    sample: Sample,
    image: Image,
    params: dict[str, Any],
    pause: Callable[[float], None],
) -> Answer:
    try:
        reply = endpoint.complete(messages(sample, image), pause, **params)
    except RequestFailed as error:
        return Answer.failed(sample, error)
    return Answer.of(
        sample,
        text=reply.text.strip(),
        image_hash=image_hash(image),
        prompt_tokens=reply.prompt_tokens,
        tokens=reply.tokens,
    )
