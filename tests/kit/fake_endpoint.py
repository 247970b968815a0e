"""An OpenAI-compatible endpoint on this machine that answers as it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ssl import SSLContext
from typing import Any, NamedTuple


class Raw(NamedTuple):
    """All bytes of a response, status line and headers included, sent block by block."""

    blocks: Iterable[bytes]


Response = tuple[int, Any] | tuple[int, Any, dict[str, str]] | Raw


class Request(NamedTuple):
    """A request as the endpoint received it."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


class FakeEndpoint:
    """What was requested, and how it is answered.

    Attributes:
        requests: All requests so far.
        respond: Makes status, content and headers, or the response as raw bytes, from a body and
            its number, counted from 0.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.respond: Callable[[dict[str, Any], int], Response] = lambda _, n: (200, completion())
        self.port = 0
        self._lock = threading.Lock()

    @property
    def address(self) -> str:
        """What OPENAI_BASE_URL has to be to reach it."""
        return f"http://127.0.0.1:{self.port}/v1/"

    def take(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> Response:
        """Record a request and respond to it."""
        with self._lock:
            number = len(self.requests)
            self.requests.append(Request(path, headers, body))
        return self.respond(body, number)


def completion(text: str | None = "Yes.", **more: Any) -> dict[str, Any]:
    """Return a chat completion."""
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return {"choices": [choice], "usage": {"prompt_tokens": 70, "completion_tokens": 2}, **more}


@contextmanager
def fake_endpoint(encryption: SSLContext | None = None) -> Iterator[FakeEndpoint]:
    """Serve until the `with` block is left."""
    endpoint = FakeEndpoint()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            response = endpoint.take(self.path, dict(self.headers), body)
            if isinstance(response, Raw):
                self.close_connection = True
                for block in response.blocks:
                    self.wfile.write(block)
                return
            status, content, *headers = response
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for key, value in (headers[0] if headers else {}).items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Ignore clients that gave up waiting."""

    server = Server(("127.0.0.1", 0), Handler)
    endpoint.port = server.server_port
    if encryption:
        server.socket = encryption.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        server.server_close()
