"""The client: what it sends, when it asks again, and that the key goes nowhere else."""

from __future__ import annotations

import socket
import time

import pytest

from halluc.errors import UserError
from halluc.remote.client import ATTEMPTS, Endpoint, EndpointRefused, RequestFailed
from tests.kit.fake_endpoint import FakeEndpoint, completion

HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses between attempts, not slept through."""
    found: list[float] = []
    monkeypatch.setattr(time, "sleep", found.append)
    return found


def test_a_request_and_its_reply(endpoint: FakeEndpoint) -> None:
    reply = Endpoint("m").complete(HELLO, temperature=0, max_tokens=5)
    assert (reply.text, reply.prompt_tokens, reply.tokens) == ("Yes.", 70, 2)
    ((path, headers, body),) = endpoint.requests
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == "Bearer sk-secret"
    assert body == {"model": "m", "messages": HELLO, "temperature": 0, "max_tokens": 5}


def test_no_key_is_sent_where_there_is_none(
    endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    endpoint.respond = lambda body, n: (200, {"choices": [{"message": {"content": "ok"}}]})
    assert Endpoint("m").complete(HELLO).tokens == 0
    assert "Authorization" not in endpoint.requests[0][1]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_endpoint_is_asked_again_ever_later(
    status: int, endpoint: FakeEndpoint, pauses: list[float]
) -> None:
    endpoint.respond = lambda body, n: (200, completion("at last")) if n == 3 else (status, b"busy")
    assert Endpoint("m").complete(HELLO).text == "at last"
    assert len(pauses) == 3
    for pause, about in zip(pauses, (1, 2, 4), strict=True):
        assert 0.75 * about <= pause <= 1.25 * about


def test_it_waits_as_long_as_it_is_told(endpoint: FakeEndpoint, pauses: list[float]) -> None:
    waits = {0: "7", 1: "3600", 2: "Wed, 21 Oct 2026 07:28:00 GMT"}
    endpoint.respond = lambda body, n: (
        (429, b"", {"Retry-After": waits[n]}) if n in waits else (200, completion())
    )
    Endpoint("m", wait=0.1).complete(HELLO)
    assert pauses[:2] == [7, 60]
    assert pauses[2] < 1


def test_in_the_end_the_request_fails(endpoint: FakeEndpoint, pauses: list[float]) -> None:
    endpoint.respond = lambda body, n: (503, {"error": {"message": "over\nloaded"}})
    with pytest.raises(RequestFailed, match=r"^HTTP 503: over loaded$"):
        Endpoint("m").complete(HELLO)
    assert len(endpoint.requests) == ATTEMPTS


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_request_that_is_wrong_is_not_repeated(status: int, endpoint: FakeEndpoint) -> None:
    endpoint.respond = lambda body, n: (status, {"error": {"message": "image too large"}})
    with pytest.raises(RequestFailed, match=f"HTTP {status}: image too large"):
        Endpoint("m").complete(HELLO)
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_ends_it_and_does_not_show_the_key(status: int, endpoint: FakeEndpoint) -> None:
    endpoint.respond = lambda body, n: (status, {"error": {"message": "bad key sk-secret!"}})
    with pytest.raises(EndpointRefused, match=rf"HTTP {status}: bad key \*\*\*!; check") as refused:
        Endpoint("m").complete(HELLO)
    assert "sk-secret" not in str(refused.value)
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<html>", "the reply is not JSON"),
        ([], "the reply is not a chat completion"),
        ({"choices": []}, "the reply is not a chat completion"),
        (completion(None), r"no text in the reply \(finish_reason stop\)"),
    ],
)
def test_replies_that_cannot_be_read(content: object, reason: str, endpoint: FakeEndpoint) -> None:
    endpoint.respond = lambda body, n: (200, content)
    with pytest.raises(RequestFailed, match=reason):
        Endpoint("m").complete(HELLO)


def test_no_redirect_takes_the_key_elsewhere(endpoint: FakeEndpoint) -> None:
    elsewhere = {"Location": f"http://localhost:{endpoint.port}/elsewhere"}
    endpoint.respond = lambda body, n: (302, b"", elsewhere)
    with pytest.raises(RequestFailed, match="HTTP 302"):
        Endpoint("m").complete(HELLO)
    assert len(endpoint.requests) == 1


def test_silence_fails_the_request(endpoint: FakeEndpoint) -> None:
    def silent(body: object, n: int) -> tuple[int, object]:
        time.sleep(0.5)
        return 200, completion()

    endpoint.respond = silent
    with pytest.raises(RequestFailed, match=r"^no reply within 0\.05 s$"):
        Endpoint("m", wait=0, timeout=0.05).complete(HELLO)
    assert len(endpoint.requests) == ATTEMPTS


def test_nobody_there(monkeypatch: pytest.MonkeyPatch, pauses: list[float]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{port}/v1")
    with pytest.raises(EndpointRefused, match="model 'm' at its endpoint: cannot be reached"):
        Endpoint("m").complete(HELLO)
    assert len(pauses) == ATTEMPTS - 1


@pytest.mark.parametrize("url", ["localhost:8000/v1", "file:///etc/passwd"])
def test_an_address_that_is_none(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    with pytest.raises(UserError, match="OPENAI_BASE_URL is not an address like http"):
        Endpoint("m").complete(HELLO)
