"""The key goes into the header of a request; whatever a reply quotes, it is shown nowhere else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from halluc.errors import UserError
from halluc.remote.client import Endpoint, EndpointRefused, RequestFailed
from tests.kit.command import halluc
from tests.kit.fake_endpoint import FakeEndpoint, Raw, completion

HELLO = [{"role": "user", "content": "hello"}]
KEY = "sk-secret"


@pytest.mark.parametrize("around", ["{}\r", "{}\n", " {}\r\n", "\t{} "])
def test_what_stands_around_the_key_is_no_part_of_it(
    around: str, endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", around.format(KEY))
    Endpoint("m").complete(HELLO)
    assert endpoint.requests[0].headers["Authorization"] == f"Bearer {KEY}"


def test_a_key_of_blanks_is_none(endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", " \r\n")
    Endpoint("m").complete(HELLO)
    assert "Authorization" not in endpoint.requests[0].headers


@pytest.mark.parametrize(
    "key",
    ["sk-sec\rret", "sk-sec\nret", "sk-sec\x1bret", "sk-secrét", "sk-sec\u200bret", "sk-s ret"],
)
def test_a_key_that_is_none_is_refused_unseen(
    key: str, endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(UserError, match=r"^OPENAI_API_KEY holds .* it$") as refused:
        Endpoint("m").complete(HELLO)
    assert "sk-s" not in str(refused.value)
    assert not endpoint.requests


@pytest.mark.parametrize(
    "url",
    [
        "https://me:sk-secret@example.com/v1",
        "https://example.com/v1?key=sk-secret",
        "https://example.com/sk-sec ret",
        "https://example.com:sk-secret/v1",
        "http://[sk-secret/v1",
        "https:///sk-secret",
    ],
)
def test_an_address_with_a_secret_in_it_is_refused_unseen(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    with pytest.raises(UserError, match=r"^OPENAI_BASE_URL is not an address like") as refused:
        Endpoint("m").complete(HELLO)
    assert "sk-sec" not in str(refused.value)


def test_blanks_around_an_address_are_no_part_of_it(
    endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", f" {endpoint.address}\r\n")
    assert Endpoint("m").complete(HELLO).text == "Yes."


def test_a_reply_that_quotes_the_key_is_blackened(endpoint: FakeEndpoint) -> None:
    endpoint.respond = lambda body, n: (200, completion(f"your key is {KEY}."))
    assert Endpoint("m").complete(HELLO).text == "your key is ***."


@pytest.mark.parametrize("placeholder", ["no", "EMPTY", "ollama"])
def test_a_placeholder_is_no_secret_and_changes_no_answer(
    placeholder: str, endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", placeholder)
    said = f"no, {placeholder} it is not"
    endpoint.respond = lambda body, n: (200, completion(said))
    assert Endpoint("m").complete(HELLO).text == said


def test_a_message_shows_no_key_however_short(
    endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "hunter2")
    endpoint.respond = lambda body, n: (400, {"error": {"message": "bad key hunter2"}})
    with pytest.raises(RequestFailed, match=r"bad key \*\*\*$"):
        Endpoint("m").complete(HELLO)


def raw(head: str, content: str = "") -> Raw:
    return Raw([f"{head}\r\nContent-Length: {len(content)}\r\n\r\n{content}".encode()])


FINISHED = {"choices": [{"message": {"content": None}, "finish_reason": f"echo {KEY}"}]}
ECHOES = {
    "finish_reason": raw("HTTP/1.1 200 OK", json.dumps(FINISHED)),
    "message": raw("HTTP/1.1 400 Bad", json.dumps({"error": {"message": f"no {KEY}"}})),
    "error as text": raw("HTTP/1.1 500 Bad", json.dumps({"error": f"no {KEY}"})),
    "page": raw("HTTP/1.1 400 Bad", f"<html>{KEY}"),
    "end of what is shown": raw("HTTP/1.1 400 Bad", "x" * 195 + KEY),
    "reason": raw(f"HTTP/1.1 400 {KEY}"),
    "refusal": raw(f"HTTP/1.1 401 {KEY}"),
    "status line": Raw([f"garbage {KEY}\r\n\r\n".encode()]),
    "location": raw(f"HTTP/1.1 302 {KEY}\r\nLocation: ftp://{KEY}/"),
}


@pytest.mark.parametrize("kind", ECHOES)
def test_no_message_quotes_the_key(kind: str, endpoint: FakeEndpoint) -> None:
    endpoint.respond = lambda body, n: ECHOES[kind]
    with pytest.raises((RequestFailed, EndpointRefused)) as failed:
        Endpoint("m", wait=0).complete(HELLO)
    assert "sk-s" not in str(failed.value)
    assert "**" in str(failed.value) or kind == "location"
    assert len(str(failed.value).splitlines()) == 1


def test_a_run_holds_the_key_nowhere(endpoint: FakeEndpoint, tmp_path: Path) -> None:
    replies = [(200, FINISHED), (200, completion(f"Yes, {KEY}"))]
    endpoint.respond = lambda body, n: replies[n % 2]
    command = ["eval", "--model", "openai:m", "--benchmarks", "glyph_pope", "--limit", "1"]
    done = halluc(*command, cwd=tmp_path, OPENAI_API_KEY=f"{KEY}\r")
    assert "Traceback" not in done.stderr
    assert KEY not in done.stdout + done.stderr
    (samples,) = tmp_path.glob("runs/*/answers_*.jsonl")
    assert "Yes, ***" in samples.read_text()
    assert "finish_reason echo ***" in samples.read_text()
    for file in tmp_path.glob("runs/*/*"):
        assert KEY not in file.read_text()
