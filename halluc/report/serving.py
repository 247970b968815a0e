"""Serves the report on the loopback address, and again when runs have grown."""

from __future__ import annotations

from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from halluc.config import content_hash
from halluc.errors import UserError, needs_packages
from halluc.leaderboard.collecting import find_runs
from halluc.report.html_page import page, report_data
from halluc.store import scored_in

if TYPE_CHECKING:
    from typing import Any


class ReportServer(ThreadingHTTPServer):
    """A server of the report of the runs at some places, on this machine alone.

    Args:
        places: Run folders, or folders of run folders.
        port: 0 takes a free one.
        title: The page's heading.
        most: How many samples of each benchmark.

    Raises:
        UserError: If the port is taken, or a package is missing.
    """

    daemon_threads = True

    def __init__(
        self, places: Sequence[Path], port: int = 0, title: str = "halluc", most: int = 10_000
    ) -> None:
        needs_packages("view", "altair", "vl_convert")
        self.places, self.title, self.most = places, title, most
        self._lock = Lock()
        self._made: tuple[str, bytes] | None = None
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as error:
            raise UserError(f"--port {port}: cannot be served on ({error.strerror})") from error

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.server_port}/"

    def stamp(self) -> str:
        """Return what changes whenever scores or traces do."""
        runs = find_runs(self.places)
        found = [file for run in runs for file in run.scores_files()]
        found += [folder for run in runs for folder in sorted(run.path.glob("traces_*"))]
        return content_hash([[str(file), file.stat().st_mtime_ns] for file in found])

    def content(self) -> bytes:
        """Return the page, made again where runs have grown."""
        with self._lock:
            stamp = self.stamp()
            if self._made is None or self._made[0] != stamp:
                scored = scored_in(find_runs(self.places))
                if not scored:
                    raise UserError("no finished run yet; this page appears with the first one")
                data = report_data(scored, self.title, self.most, places=self.places)
                self._made = stamp, page(data, polls=True).encode()
            return self._made[1]


class _Handler(BaseHTTPRequestHandler):
    server: ReportServer

    def do_GET(self) -> None:
        """Serve the page and its stamp; to pages of other origins neither."""
        if self.headers.get("Host", "").partition(":")[0] not in ("127.0.0.1", "localhost"):
            self.send_error(403)
        elif self.path == "/stamp":
            self._reply(self.server.stamp().encode(), "text/plain")
        elif self.path == "/":
            try:
                self._reply(self.server.content(), "text/html")
            except UserError as error:
                self._reply(str(error).encode(errors="replace"), "text/plain")
        else:
            self.send_error(404)

    def _reply(self, content: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing of each request."""
