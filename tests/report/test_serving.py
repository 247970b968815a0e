from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from halluc.errors import UserError
from halluc.report.serving import ReportServer
from tests.kit.runs import write_run
from tests.report.conftest import Opened

pytest.importorskip("altair")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ReportServer]:
    with ReportServer([tmp_path]) as served:
        thread = threading.Thread(target=served.serve_forever, daemon=True)
        thread.start()
        yield served
        served.shutdown()
        thread.join()


def test_the_page_follows_as_runs_grow(
    server: ReportServer, tmp_path: Path, chromium: object
) -> None:
    assert urlopen(server.address).read().startswith(b"no finished run yet")
    write_run(tmp_path, "baseline", 0.3, 3, ("glyph_chair",))
    page = chromium.new_page()  # type: ignore[attr-defined]
    try:
        page.goto(server.address)
        page.wait_for_selector("tbody tr")
        assert page.locator("tbody tr").count() == 1
        page.wait_for_timeout(2500)
        write_run(tmp_path, "vcd", 0.1, 3, ("glyph_chair",))
        page.wait_for_selector("tbody tr:nth-child(2)", timeout=15000)
    finally:
        page.close()


def test_it_is_made_once_and_only_for_this_machine(server: ReportServer, tmp_path: Path) -> None:
    write_run(tmp_path, "baseline", 0.3, 3, ("glyph_chair",))
    assert server.address.startswith("http://127.0.0.1:")
    first = server.content()
    started = time.monotonic()
    assert server.content() is first and time.monotonic() - started < 1
    for path in ("../../etc/passwd", "asker.json"):
        with pytest.raises(HTTPError, match="404"):
            urlopen(server.address + path)
    with pytest.raises(HTTPError, match="403"):  # a name that somebody else points here
        urlopen(Request(server.address, headers={"Host": "evil.example"}))
    with pytest.raises(UserError, match=f"--port {server.server_port}: cannot be served on"):
        ReportServer([tmp_path], server.server_port)


def test_opened(browser: Opened) -> None:
    """The fixture notices what pages should not do."""
    browser.page.goto("about:blank")
    browser.page.evaluate("console.error('seen')")
    assert browser.complaints == ["error: seen"]
    browser.complaints.clear()
