"""Samples answered by an endpoint, several requests at a time."""

from __future__ import annotations

import base64
import io
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from halluc.errors import UserError
from halluc.images import as_rgb, image_hash
from halluc.remote.client import RequestFailed
from halluc.types import Answer, Sample

if TYPE_CHECKING:
    from PIL.Image import Image

    from halluc.config import DecodingConfig
    from halluc.remote.client import Endpoint
    from halluc.remote.model import EndpointModel


def ask_endpoint(
    model: EndpointModel, samples: Iterable[Sample], decoding: DecodingConfig, in_flight: int
) -> Iterator[Answer]:
    """Answer samples in their order; one that gets no answer fails alone.

    Their seconds add up to the time that passed. Passes through the model are not known: 0.

    Args:
        in_flight: Requests at a time.

    Raises:
        EndpointRefused: If no sample can be answered.
    """
    waiting: deque[Callable[[], Answer]] = deque()
    pool = ThreadPoolExecutor(in_flight)
    started = time.perf_counter()

    def next_answer() -> Answer:
        nonlocal started
        answer = waiting.popleft()()
        before, started = started, time.perf_counter()
        return replace(answer, seconds=started - before)

    try:
        for sample in samples:
            waiting.append(_submitted(pool, model.endpoint, sample, decoding))
            if len(waiting) == in_flight:
                yield next_answer()
        while waiting:
            yield next_answer()
    finally:
        pool.shutdown(cancel_futures=True)


def _submitted(
    pool: ThreadPoolExecutor, endpoint: Endpoint, sample: Sample, decoding: DecodingConfig
) -> Callable[[], Answer]:
    """Load the image in this thread and send the request in another; call the result to wait."""
    try:
        image = as_rgb(sample.load_image())
    except UserError:
        raise
    except Exception as error:
        return partial(Answer.failed, sample, error)
    return pool.submit(_ask, endpoint, sample, image, parameters(decoding, sample)).result


def _ask(endpoint: Endpoint, sample: Sample, image: Image, params: dict[str, Any]) -> Answer:
    try:
        reply = endpoint.complete(messages(sample, image), **params)
    except RequestFailed as error:
        return Answer.failed(sample, error)
    return Answer.of(
        sample,
        text=reply.text.strip(),
        image_hash=image_hash(image),
        prompt_tokens=reply.prompt_tokens,
        tokens=reply.tokens,
    )


def messages(sample: Sample, image: Image) -> list[dict[str, Any]]:
    """Return the conversation with the image in its first turn, as PNG, which loses nothing."""
    file = io.BytesIO()
    image.save(file, "PNG")
    url = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    said = [words for turn in sample.history for words in turn] + [sample.prompt]
    first = [
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "text", "text": said[0]},
    ]
    roles = ("user", "assistant")
    return [
        {"role": roles[number % 2], "content": words if number else first}
        for number, words in enumerate(said)
    ]


def parameters(decoding: DecodingConfig, sample: Sample) -> dict[str, Any]:
    """Return the decoding as parameters of a request."""
    params: dict[str, Any] = {"max_tokens": decoding.max_new_tokens or sample.max_new_tokens}
    if not decoding.do_sample:
        return params | {"temperature": 0}
    return params | {
        "temperature": decoding.temperature,
        "top_p": decoding.top_p,
        "seed": decoding.seed,
    }
