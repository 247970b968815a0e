"""One request over HTTP, with a limit to the seconds and the bytes of its reply."""

from __future__ import annotations

import socket
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, Literal
from urllib.request import HTTPHandler, OpenerDirector, ProxyHandler, Request

from halluc.remote.background import in_background

LONGEST_REPLY = 2**24
"""Bytes of a reply that are read: 16 MiB."""

_BLOCK = 2**16
_End = Literal["whole", "early", "too long"]


@dataclass(frozen=True)
class Response:
    """What came back, whatever its status.

    Attributes:
        status, reason: Of its first line.
        retry_after: The header of that name.
        content: The body, as far as it was read.
        end: Whether the body is whole, ended early, or is longer than what is read.
    """

    status: int
    reason: str
    retry_after: str | None
    content: bytes
    end: _End


def post(url: str, body: bytes, headers: dict[str, str], timeout: float) -> Response:
    """Send a request once; no redirect is followed, which would take a key to another place.

    Args:
        timeout: Seconds it may take in all, from looking up the name to the last byte.

    Raises:
        TimeoutError: If it takes longer; the connection is cut.
        OSError, HTTPException, ValueError: If there is no connection in that time, or no HTTP
            comes over it.
    """
    lines = _Lines()
    opener = OpenerDirector()  # one that takes errors and redirects for what they are: replies
    for handler in (ProxyHandler(), lines):
        opener.add_handler(handler)
    request = Request(url, body, headers)
    response = in_background(lambda: _read(opener.open(request, timeout=timeout)))
    try:
        return response.result(timeout)
    except TimeoutError:
        if lines.sockets:
            raise
        raise ConnectionError(f"no connection within {timeout:g} s") from None
    finally:
        lines.cut()


def _read(reply: HTTPResponse) -> Response:
    content = bytearray()
    end: _End = "whole"
    with reply:
        try:
            while len(content) <= LONGEST_REPLY and (block := reply.read1(_BLOCK)):
                content += block
            if reply.length:
                end = "early"
        except (HTTPException, ConnectionError):
            end = "early"
    if len(content) > LONGEST_REPLY:
        end = "too long"
    return Response(
        reply.status,
        reply.reason,
        reply.headers.get("Retry-After"),
        bytes(content[:LONGEST_REPLY]),
        end,
    )


class _Lines(HTTPHandler):
    """Opens connections that can be cut from another thread.

    Attributes:
        sockets: Of all connections.
    """

    https_request = HTTPHandler.http_request

    def __init__(self) -> None:
        super().__init__()
        self.sockets: list[socket.socket] = []

    def http_open(self, req: Request) -> HTTPResponse:
        """Send a request."""
        return self.do_open(partial(_Connection, self.sockets), req)

    def https_open(self, req: Request) -> HTTPResponse:
        """Send a request, encrypted."""
        return self.do_open(partial(_SecureConnection, self.sockets), req)

    def cut(self) -> None:
        """End all connections, also under a thread that waits for one to say something."""
        for line in self.sockets:
            with suppress(OSError):
                socket.socket.shutdown(line, socket.SHUT_RDWR)


class _Connection(HTTPConnection):
    """A connection that adds its socket to a list."""

    def __init__(self, sockets: list[socket.socket], *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._sockets = sockets

    def connect(self) -> None:
        super().connect()
        self._sockets.append(self.sock)


class _SecureConnection(_Connection, HTTPSConnection):
    """The same, encrypted."""
