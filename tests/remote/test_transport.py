"""Connections: encrypted, through a proxy, and none at all."""

from __future__ import annotations

import gzip
import json
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from halluc.remote.client import Endpoint, EndpointRefused, RequestFailed
from halluc.remote.transport import _Lines
from tests.kit.fake_endpoint import FakeEndpoint, Raw, completion, fake_endpoint

HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture
def encrypted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeEndpoint]:
    """An endpoint behind TLS, with a certificate of its own that is not trusted yet."""
    if not shutil.which("openssl"):
        pytest.skip("needs the openssl command to make a certificate")
    command = (
        "openssl req -x509 -nodes -newkey rsa:2048 -keyout key.pem -out cert.pem -days 2 "
        "-subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with fake_endpoint(context) as served:
        monkeypatch.setenv("OPENAI_BASE_URL", f"https://localhost:{served.port}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
        yield served


def test_a_certificate_has_to_be_trusted(
    encrypted: FakeEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(EndpointRefused, match="certificate"):
        Endpoint("m", wait=0).complete(HELLO)
    assert not encrypted.requests
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    assert Endpoint("m", wait=0).complete(HELLO).text == "Yes."


def test_an_encrypted_reply_that_drips_is_cut_off(
    encrypted: FakeEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hung_up: list[bool] = []

    def drip() -> Iterator[bytes]:
        try:
            yield b"HTTP/1.1 200 OK\r\n\r\n"
            while True:
                yield b" "
                time.sleep(0.02)
        finally:
            hung_up.append(True)

    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    encrypted.respond = lambda body, n: Raw(drip())
    started = time.perf_counter()
    with pytest.raises(RequestFailed, match=r"^no reply within 0\.5 s$"):
        Endpoint("m", wait=0, timeout=0.5).complete(HELLO)
    assert time.perf_counter() - started < 4
    while not hung_up:
        assert time.perf_counter() - started < 10
        time.sleep(0.02)


def test_a_proxy_is_used(endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{endpoint.port}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://endpoint.invalid/v1")
    assert Endpoint("m").complete(HELLO).text == "Yes."
    assert endpoint.requests[0].path == "http://endpoint.invalid/v1/chat/completions"


def test_a_connection_that_never_comes_about_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):  # more than are let in to wait
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(full.getsockname())
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{full.getsockname()[1]}/v1")
        with pytest.raises(EndpointRefused, match=r"cannot be reached: no connection within 0\.1"):
            Endpoint("m", wait=0, timeout=0.1).complete(HELLO)


class Stream:
    """What httpcore says of a connection it made."""

    def __init__(self, line: socket.socket) -> None:
        self.line = line

    def get_extra_info(self, _: str) -> socket.socket:
        return self.line


def test_a_connection_that_is_made_too_late_ends_at_once() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(5)
        lines = _Lines(encrypted=False)
        lines.cut()
        lines.note("connection.connect_tcp.complete", {"return_value": Stream(ours)})
        assert theirs.recv(1) == b""


@pytest.mark.parametrize("proxy", ["socks5://localhost:1", "carrier-pigeon://localhost"])
def test_a_proxy_that_cannot_be_used_is_one_line(
    proxy: str, endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy)
    with pytest.raises(EndpointRefused, match="cannot be reached") as refused:
        Endpoint("m", wait=0).complete(HELLO)
    assert len(str(refused.value).splitlines()) == 1


def test_a_packed_reply_is_not_unpacked(endpoint: FakeEndpoint) -> None:
    packed = gzip.compress(json.dumps(completion()).encode())
    endpoint.respond = lambda body, n: (200, packed, {"Content-Encoding": "gzip"})
    with pytest.raises(RequestFailed, match="the reply is not JSON"):
        Endpoint("m", wait=0).complete(HELLO)
    assert endpoint.requests[0].headers["Accept-Encoding"] == "identity"
