"""One request over HTTP, with a limit to the seconds and the bytes of its reply."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from halluc.remote.background import in_background

if TYPE_CHECKING:
    import httpx2

LONGEST_REPLY = 2**24
"""Bytes of a reply that are read: 16 MiB."""

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


def http_client() -> httpx2.Client:
    """Return what sends requests, each over a connection of its own, by the environment's proxies.

    It follows no redirect, which would take a key to another place.

    Raises:
        ConnectionError: If the environment names a proxy that cannot be used.
    """
    import httpx2

    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
    try:
        return httpx2.Client(limits=limits, follow_redirects=False)
    except (ImportError, ValueError) as error:
        raise ConnectionError(str(error)) from error


def post(
    client: httpx2.Client, url: str, body: bytes, headers: dict[str, str], timeout: float
) -> Response:
    """Send a request once.

    Args:
        client: Of `http_client`.
        timeout: Seconds it may take in all, from looking up the name to the last byte.

    Raises:
        TimeoutError: If it takes longer; the connection is cut.
        ConnectionError: If there is no connection in that time, or no HTTP comes over it.
    """
    import httpx2

    lines = _Lines(url.startswith("https:"))
    # A body is taken as it comes: one that is packed could be larger than memory once unpacked.
    headers = {"Accept-Encoding": "identity", **headers}
    watched = {"trace": lines.note}
    try:
        request = client.build_request(
            "POST", url, content=body, headers=headers, timeout=timeout, extensions=watched
        )
    except httpx2.InvalidURL as error:
        raise ConnectionError(str(error)) from error
    response = in_background(lambda: _exchange(client, request))
    try:
        return response.result(timeout)
    except TimeoutError:
        if lines.sockets:
            raise
        raise ConnectionError(f"no connection within {timeout:g} s") from None
    finally:
        lines.cut()


class _Lines:
    """The connections of a request, which can be cut from another thread.

    Args:
        encrypted: Whether a connection is one only once it is encrypted.

    Attributes:
        sockets: Of all connections.
    """

    def __init__(self, encrypted: bool) -> None:
        self._made = "start_tls.complete" if encrypted else "connect_tcp.complete"
        self._over = False
        self.sockets: list[socket.socket] = []

    def note(self, event: str, about: Mapping[str, Any]) -> None:
        """Take the socket of a connection that was made; httpcore calls this at every step."""
        if event.endswith(self._made):
            self.sockets.append(about["return_value"].get_extra_info("socket"))
            if self._over:
                self.cut()

    def cut(self) -> None:
        """End all connections, also under a thread that waits for one to say something.

        One that is made later ends at once.
        """
        self._over = True
        for line in self.sockets:
            with suppress(OSError):
                socket.socket.shutdown(line, socket.SHUT_RDWR)


def _exchange(client: httpx2.Client, request: httpx2.Request) -> Response:
    import httpx2

    try:
        reply = client.send(request, stream=True)
        with closing(reply):
            return _read(reply)
    except httpx2.TimeoutException:
        raise TimeoutError from None
    except httpx2.HTTPError as error:
        raise ConnectionError(str(error)) from error


def _read(reply: httpx2.Response) -> Response:
    import httpx2

    content = bytearray()
    end: _End = "whole"
    try:
        for block in reply.iter_raw():
            content += block
            if len(content) > LONGEST_REPLY:
                end = "too long"
                break
    except (httpx2.ProtocolError, httpx2.NetworkError):
        end = "early"
    return Response(
        reply.status_code,
        reply.reason_phrase,
        reply.headers.get("Retry-After"),
        bytes(content[:LONGEST_REPLY]),
        end,
    )
