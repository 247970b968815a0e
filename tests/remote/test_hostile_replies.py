"""Replies no honest endpoint sends fail their request by one line, soon and in little memory."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any

import pytest

from halluc.remote.client import ATTEMPTS, Endpoint, RequestFailed
from tests.kit.fake_endpoint import FakeEndpoint, Raw, completion

HELLO = [{"role": "user", "content": "hello"}]
OK = b"HTTP/1.1 200 OK\r\n"


def ask(timeout: float = 20.0) -> Any:
    return Endpoint("m", wait=0, timeout=timeout).complete(HELLO)


@pytest.mark.parametrize("usage", ["12", [70, 2], 7, True])
def test_usage_that_is_no_table_counts_nothing(usage: Any, endpoint: FakeEndpoint) -> None:
    endpoint.respond = lambda body, n: (200, completion(usage=usage))
    assert (ask().prompt_tokens, ask().tokens) == (0, 0)


@pytest.mark.parametrize(
    ("count", "counted"),
    [
        (12, 12),
        (12.0, 12),
        (0, 0),
        (10**12 - 1, 10**12 - 1),
        (10**12, 0),
        (1e308, 0),
        (-1, 0),
        (2.5, 0),
        (True, 0),
        ("12", 0),
        ([12], 0),
        (None, 0),
        (float("nan"), 0),
        (float("inf"), 0),
        (float("-inf"), 0),
    ],
)
def test_a_count_is_a_whole_number(count: Any, counted: int, endpoint: FakeEndpoint) -> None:
    usage = {"prompt_tokens": count, "completion_tokens": count}
    endpoint.respond = lambda body, n: (200, completion(usage=usage))
    reply = ask()
    assert (reply.prompt_tokens, reply.tokens) == (counted, counted)
    assert type(reply.tokens) is int


@pytest.mark.parametrize("text", [7, True, ["Yes."], {"text": "Yes."}, [{"type": "text"}]])
def test_a_text_that_is_none_fails_the_request(text: Any, endpoint: FakeEndpoint) -> None:
    endpoint.respond = lambda body, n: (200, completion(text))
    with pytest.raises(RequestFailed, match="no text in the reply"):
        ask()


def test_half_a_character_is_replaced(endpoint: FakeEndpoint) -> None:
    endpoint.respond = lambda body, n: (200, completion("Yes \ud83d, \ude00! \U0001f600"))
    text = ask().text
    assert text == "Yes \ufffd, \ufffd! \U0001f600"
    assert text.encode()


@pytest.mark.parametrize("status", [400, 500])
def test_an_error_that_ends_early_fails_like_any_other(status: int, endpoint: FakeEndpoint) -> None:
    response = f"HTTP/1.1 {status} Bad\r\nContent-Length: 99\r\n\r\nshort".encode()
    endpoint.respond = lambda body, n: Raw([response])
    with pytest.raises(RequestFailed, match=f"^HTTP {status}: short$"):
        ask()
    assert len(endpoint.requests) == (1 if status == 400 else ATTEMPTS)


EARLY = {
    "length": OK + b"Content-Length: 99\r\n\r\n{}",
    "chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n9\r\n{}",
    "no last chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
    "no chunk": OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
}


@pytest.mark.parametrize("kind", EARLY)
def test_a_reply_that_ends_early_is_asked_for_again(kind: str, endpoint: FakeEndpoint) -> None:
    endpoint.respond = lambda body, n: Raw([EARLY[kind]]) if n == 0 else (200, completion())
    assert ask().text == "Yes."
    endpoint.respond = lambda body, n: Raw([EARLY[kind]])
    with pytest.raises(RequestFailed, match=r"^the reply ended early$"):
        ask()


@pytest.mark.parametrize("status", [200, 400])
def test_what_is_nested_too_deeply_fails_the_request(status: int, endpoint: FakeEndpoint) -> None:
    deep = b'{"error": ' + b"[" * 200_000
    endpoint.respond = lambda body, n: (status, deep)
    with pytest.raises(RequestFailed, match=r"nested too deeply|HTTP 400: \{"):
        ask()


def test_numbers_too_long_to_read_fail_the_request(endpoint: FakeEndpoint) -> None:
    endpoint.respond = lambda body, n: (200, b"9" * 100_000)
    with pytest.raises(RequestFailed, match=r"^the reply is not JSON$"):
        ask()


def dripping(start: bytes, drop: bytes) -> Iterator[bytes]:
    yield start
    while True:
        time.sleep(0.02)
        yield drop


DRIPS = {
    "status line": (b"HTTP/1.1", b" "),
    "headers": (OK, b"A: b\r\n"),
    "body": (OK + b"Content-Length: 9999999\r\n\r\n", b" "),
    "error": (b"HTTP/1.1 400 Bad\r\nContent-Length: 9999999\r\n\r\n", b" "),
    "endless": (OK + b"\r\n", b" "),
    "chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
}


@pytest.mark.parametrize("kind", DRIPS)
def test_a_reply_that_drips_is_cut_off(kind: str, endpoint: FakeEndpoint) -> None:
    hung_up = []

    def drip() -> Iterator[bytes]:
        try:
            yield from dripping(*DRIPS[kind])
        finally:
            hung_up.append(True)

    endpoint.respond = lambda body, n: Raw(drip())
    started = time.perf_counter()
    with pytest.raises(RequestFailed, match=r"^no reply within 0\.2 s$"):
        ask(timeout=0.2)
    assert time.perf_counter() - started < ATTEMPTS * 0.2 + 1
    assert len(endpoint.requests) == ATTEMPTS
    while len(hung_up) < ATTEMPTS:  # the connection is closed: the endpoint cannot go on
        assert time.perf_counter() - started < 10
        time.sleep(0.02)


@pytest.mark.parametrize("status", ["200 OK", "400 Bad"])
@pytest.mark.parametrize("length", [b"", b"Content-Length: 999999999\r\n"])
def test_a_reply_without_end_is_cut_off(status: str, length: bytes, endpoint: FakeEndpoint) -> None:
    sent = 0

    def flood() -> Iterator[bytes]:
        nonlocal sent
        yield f"HTTP/1.1 {status}\r\n".encode() + length + b"\r\n"
        for block in repeat(b"x" * 2**20, 200):
            sent += len(block)
            yield block

    endpoint.respond = lambda body, n: Raw(flood())
    reason = "the reply is longer than 16 MiB" if status == "200 OK" else "HTTP 400: x{200}"
    with pytest.raises(RequestFailed, match=f"^{reason}$"):
        ask()
    assert len(endpoint.requests) == 1
    assert sent < 2**26


def test_a_long_reply_is_read_whole(endpoint: FakeEndpoint) -> None:
    said = "no " * 10**6
    rest = json.dumps(completion(said)).encode()
    blocks = [rest[n : n + 999_999] for n in range(0, len(rest), 999_999)]
    chunks = (b"%x\r\n%b\r\n" % (len(block), block) for block in blocks)
    head = OK + b"Transfer-Encoding: chunked\r\n\r\n"
    endpoint.respond = lambda body, n: Raw(chain([head], chunks, [b"0\r\n\r\n"]))
    assert ask().text == said


UNSEEN = {"message": {"content": None}, "finish_reason": "\x1b[2J\n"}
ODD = {"message": {"content": None}, "finish_reason": [["odd"]]}


@pytest.mark.parametrize(
    ("response", "message"),
    [
        ((400, {"error": {"message": "\x1b]0;pwn\x07"}}), r"HTTP 400: \x1b]0;pwn\x07"),
        ((400, {"error": {"message": "two\nlines\u2028more"}}), "HTTP 400: two lines more"),
        ((400, b"\x1b[2J"), r"HTTP 400: \x1b[2J"),
        ((200, {"choices": [UNSEEN]}), r"no text in the reply (finish_reason \x1b[2J)"),
        ((200, {"choices": [ODD]}), "no text in the reply (finish_reason not given)"),
    ],
)
def test_a_message_is_one_line_to_be_seen(
    response: tuple[int, Any], message: str, endpoint: FakeEndpoint
) -> None:
    endpoint.respond = lambda body, n: response
    with pytest.raises(RequestFailed) as failed:
        ask()
    assert str(failed.value) == message


@pytest.mark.parametrize("start", [b"\x1b[2J garbage\nmore", b"HTTP/1.1 200\x1b[2J\r\n\r\n"])
def test_a_status_line_that_is_none_is_one_line_to_be_seen(
    start: bytes, endpoint: FakeEndpoint
) -> None:
    endpoint.respond = lambda body, n: Raw([start])
    with pytest.raises(Exception, match="cannot be reached") as failed:
        ask()
    assert str(failed.value).isprintable()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "location", ["http://localhost:{}/elsewhere", "/here", "http://[", "file:///etc/passwd"]
)
def test_no_redirect_is_followed(status: int, location: str, endpoint: FakeEndpoint) -> None:
    elsewhere = {"Location": location.format(endpoint.port)}
    endpoint.respond = lambda body, n: (status, b"", elsewhere)
    with pytest.raises(RequestFailed, match=f"^HTTP {status}: "):
        ask()
    assert len(endpoint.requests) == 1
