from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from halluc.report.html_page import write_report

QUIET = (
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
"""As root, and without the requests that a browser makes of itself."""


@dataclass
class Opened:
    """A page in a real browser, and all that it should not have done.

    Attributes:
        page: Playwright's page.
        complaints: Console errors and warnings, exceptions, dialogs, and requests beyond the file.
    """

    page: Any
    complaints: list[str] = field(default_factory=list)

    def open(self, file: Path, address: str = "") -> None:
        self.page.goto(f"file://{file}{address}")
        self.page.wait_for_selector("#main h2")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Debian's Chromium, without a window."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    binary = shutil.which("chromium")
    if binary is None:
        pytest.skip("needs a browser: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=binary, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def browser(chromium: Any) -> Iterator[Opened]:
    """A page, 1280 pixels wide; it has complained of nothing when the test ends."""
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    opened = Opened(page)
    said = opened.complaints
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(f"exception: {error}"))
    page.on("dialog", lambda dialog: said.append(f"dialog: {dialog.message}"))
    page.on("request", lambda asked: _note(said, asked.url))
    yield opened
    page.close()
    assert not said


def _note(said: list[str], url: str) -> None:
    if not url.startswith(("file:", "data:", "blob:")):
        said.append(f"request: {url}")


@pytest.fixture(scope="module")
def report(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a module's runs."""
    file = tmp_path_factory.mktemp("report") / "report.html"
    write_report([runs], file)
    return file
