"""A run that ends early ends soon, sends no further request, and loses no answer it paid for."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from halluc.config import DecodingConfig, ModelConfig, RunConfig
from halluc.errors import UserError
from halluc.evaluation import evaluate
from halluc.remote.answers import ask_endpoint
from halluc.remote.client import Endpoint, EndpointRefused
from halluc.remote.model import EndpointModel
from halluc.types import Answer, Sample
from tests.kit.fake_endpoint import FakeEndpoint, Response, completion
from tests.kit.families import picture

SOON = 5.0  # seconds; a request that hangs may take 120


def samples(n: int) -> list[Sample]:
    return [Sample(f"s{i}", f"i{i}", str(i), lambda: picture(0)) for i in range(n)]


def number(body: dict[str, Any]) -> int:
    (turn,) = body["messages"]
    return int(turn["content"][1]["text"])


def asked(questions: list[Sample], in_flight: int) -> Iterator[Answer]:
    model = EndpointModel("openai:m", Endpoint("m", wait=1.0))
    return ask_endpoint(model, questions, DecodingConfig(), in_flight)


def given(answers: Iterator[Answer], error: type[Exception]) -> list[str]:
    """The ids of what is answered before an error is raised."""
    found = []

    def take_all() -> None:
        for answer in answers:
            assert answer.status == "ok"
            found.append(answer.id)

    with pytest.raises(error):
        take_all()
    return found


@pytest.fixture
def hanging() -> Iterator[threading.Event]:
    """What requests that hang wait for, till the end of the test."""
    over = threading.Event()
    yield over
    over.set()


def test_answers_that_are_there_come_before_a_refusal(endpoint: FakeEndpoint) -> None:
    def one_is_refused(body: dict[str, Any], n: int) -> Response:
        time.sleep({1: 0.2, 3: 0.4}.get(number(body), 0))  # 3 is still under way
        return (401, b"no") if number(body) in (1, 4) else (200, completion())

    endpoint.respond = one_is_refused
    assert given(asked(samples(50), in_flight=6), EndpointRefused) == [
        "s0", "s2", "s3", "s5", "s6",
    ]  # fmt: skip
    assert len(endpoint.requests) == 7  # none after the refusal, none twice


def test_a_run_that_was_refused_pays_for_no_answer_twice(
    endpoint: FakeEndpoint, tmp_path: Path
) -> None:
    refused: list[dict[str, Any]] = []

    def respond(body: dict[str, Any], n: int) -> Response:
        if n == 9:
            refused.append(body)
            return 401, b"no"
        return 200, completion()

    endpoint.respond = respond
    config = RunConfig(model=ModelConfig(name="openai:m"), benchmarks=("glyph_pope",), limit=1)
    with pytest.raises(EndpointRefused):
        evaluate(config, tmp_path)
    assert len(endpoint.requests) < 18
    evaluate(config, tmp_path)
    paid = [json.dumps(r.body) for r in endpoint.requests if r.body not in refused]
    assert len(paid) == len(set(paid))
    assert sum(r.body in refused for r in endpoint.requests) == 2


def test_answers_that_are_there_come_before_an_error_of_a_sample(endpoint: FakeEndpoint) -> None:
    def nowhere() -> Image.Image:
        raise UserError("no such folder")

    questions = samples(5)
    questions[3] = replace(questions[3], load_image=nowhere)
    assert given(asked(questions, in_flight=8), UserError) == ["s0", "s1", "s2"]
    assert len(endpoint.requests) == 3


def test_nothing_is_tried_again_after_a_refusal(endpoint: FakeEndpoint) -> None:
    endpoint.respond = lambda body, n: (401, b"no") if number(body) == 0 else (503, b"busy")
    assert given(asked(samples(4), in_flight=4), EndpointRefused) == []
    sent = len(endpoint.requests)
    time.sleep(1.5)  # a busy endpoint is asked again after 0.75 to 1.25 seconds
    assert len(endpoint.requests) == sent == 4


def test_closing_waits_for_nothing_and_tries_nothing_again(
    endpoint: FakeEndpoint, hanging: threading.Event
) -> None:
    def respond(body: dict[str, Any], n: int) -> Response:
        if number(body) == 0:
            return 200, completion()
        hanging.wait()
        return 503, b"busy"

    endpoint.respond = respond
    answers = asked(samples(9), in_flight=4)
    assert next(answers).id == "s0"
    while len(endpoint.requests) < 4:
        time.sleep(0.01)
    started = time.perf_counter()
    answers.close()  # type: ignore[attr-defined]
    assert time.perf_counter() - started < SOON
    hanging.set()
    time.sleep(1.5)
    assert len(endpoint.requests) == 4


INTERRUPTED = """
from halluc.config import DecodingConfig
from halluc.remote.answers import ask_endpoint
from halluc.remote.model import EndpointModel
from halluc.types import Sample
from PIL import Image

samples = [Sample(f"s{i}", f"i{i}", str(i), lambda: Image.new("RGB", (8, 8))) for i in range(20)]
for answer in ask_endpoint(EndpointModel.named("openai:m"), samples, DecodingConfig(), 8):
    print(answer.id, flush=True)
"""


def test_an_interrupt_ends_a_process_whose_requests_hang(
    endpoint: FakeEndpoint, hanging: threading.Event
) -> None:
    def respond(body: dict[str, Any], n: int) -> Response:
        if number(body) in (1, 4):
            hanging.wait()
        return 200, completion()

    endpoint.respond = respond
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A background job inherits that Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        started = time.perf_counter()
        while len(endpoint.requests) < 9:
            assert time.perf_counter() - started < 60, process.communicate(timeout=1)
            time.sleep(0.05)
        time.sleep(0.5)  # the last reply arrives
        process.send_signal(signal.SIGINT)
        told, failed = process.communicate(timeout=4 * SOON)
    finally:
        process.kill()
    assert "KeyboardInterrupt" in failed
    assert told.split() == ["s0", "s2", "s3", "s5", "s6", "s7", "s8"]
    assert len(endpoint.requests) == 9
