"""An OpenAI-compatible endpoint on this machine that answers as it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Response = tuple[int, Any] | tuple[int, Any, dict[str, str]]


def said(text: str | None = "Yes.", **more: Any) -> dict[str, Any]:
    """A chat completion."""
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return {"choices": [choice], "usage": {"prompt_tokens": 70, "completion_tokens": 2}, **more}


class Served:
    """What was asked, and how it is answered.

    Attributes:
        requests: Path, headers and body of each.
        respond: Makes status, content and headers of a body and its number, counted from 0.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.respond: Callable[[dict[str, Any], int], Response] = lambda body, n: (200, said())
        self.port = 0
        self._lock = threading.Lock()

    def take(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> Response:
        with self._lock:
            number = len(self.requests)
            self.requests.append((path, headers, body))
        return self.respond(body, number)


@contextmanager
def serving() -> Iterator[Served]:
    """Serve until the `with` is left."""
    served = Served()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, content, *more = served.take(self.path, dict(self.headers), body)
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for key, value in (more[0] if more else {}).items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """A client that gave up waiting is no news."""

    server = Server(("127.0.0.1", 0), Handler)
    served.port = server.server_port
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
