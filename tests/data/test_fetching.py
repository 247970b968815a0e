"""A pinned file is fetched once, is the one that was pinned, and a failure is one line."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from halluc.data.pinned_files import fetch
from halluc.errors import UserError

CONTENT = b"a published file\n"
SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def publisher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[str]]]:
    """An address with the file at /moved/file.txt and, moved, /file.txt; and what was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            known = {"/file.txt": 302, "/moved/file.txt": 200}
            self.send_response(known.get(self.path, 404))
            self.send_header("Location", "/moved/file.txt")
            self.end_headers()
            self.wfile.write(CONTENT)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("HALLUC_CACHE", str(tmp_path))
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def test_a_file_is_fetched_once_also_where_it_has_moved(publisher: tuple[str, list[str]]) -> None:
    address, asked = publisher
    for _ in range(2):
        assert fetch(f"{address}/file.txt", SHA).read_bytes() == CONTENT
    assert asked == ["/file.txt", "/moved/file.txt"]


def test_another_file_is_refused_and_not_kept(publisher: tuple[str, list[str]]) -> None:
    address, _ = publisher
    with pytest.raises(UserError, match="not the pinned file"):
        fetch(f"{address}/file.txt", "0" * 64)
    with pytest.raises(UserError, match="not the pinned file"):
        fetch(f"{address}/file.txt", "0" * 64)


@pytest.mark.parametrize("url", ["{}/gone.txt", "http://127.0.0.1:1/file.txt", "ftp://x/file.txt"])
def test_a_file_that_cannot_be_fetched_is_one_line(
    url: str, publisher: tuple[str, list[str]]
) -> None:
    with pytest.raises(UserError, match=r"^cannot fetch \S+file|^cannot fetch \S+gone.*404") as no:
        fetch(url.format(publisher[0]), SHA)
    assert len(str(no.value).splitlines()) == 1
