"""README's pictures: the report of some runs, and what the model looked at when it made a thing up.

    python -m bench.screenshots --runs runs/screenshots [--output docs/figures]

Needs Playwright and Debian's Chromium. The word is the first that the scorer marks as made up in
the baseline's description of a traced scene, and that is not in the method's; methods are tried in
the order in which they are named.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from PIL import Image

from halluc.attend.trace_panel import Panel, read_panel
from halluc.errors import UserError
from halluc.leaderboard.collecting import find_runs
from halluc.report.html_page import write_report
from halluc.scoring.base import Benchmark
from halluc.store import Scored, find_scored
from halluc.types import Reading

BENCHMARK = "glyph_chair"
MOST = 300_000
"""Bytes of a picture; above it, it has fewer colours."""


class MadeUp(NamedTuple):
    """A word that the model makes up and a method does not.

    Attributes:
        set, sample, run: Where it is, as the report's addresses name it.
        word: Its number in the baseline's answer.
        text: The word.
    """

    set: str
    sample: str
    run: str
    word: int
    text: str


def main(
    runs: Annotated[Path, typer.Option(help="Traced runs.")] = Path("runs/screenshots"),
    output: Annotated[Path, typer.Option(help="Folder of the pictures.")] = Path("docs/figures"),
    methods: Annotated[str, typer.Option(help="Methods to look for a word with.")] = "var,vhr,vcd",
) -> None:
    """Take pictures of the report of traced runs."""
    scored = [one for run in find_runs([runs]) for one in find_scored(run)]
    shown = made_up([one for one in scored if one.name == BENCHMARK], methods.split(","))
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        write_report([runs], page)
        wanted = (
            f"samples?set={shown.set}&sample={shown.sample}&trace={shown.run}&word={shown.word}"
        )
        photograph(
            page,
            {
                output / "report.png": (f"board?benchmark={BENCHMARK}", "body"),
                output / "attention.png": (wanted, ".attention"),
            },
        )
    print(f"{shown.sample}: {shown.text!r} is made up, and not by {shown.run}")


def made_up(scored: Sequence[Scored], methods: Sequence[str]) -> MadeUp:
    """Find the first traced word that the model makes up and a method does not.

    Raises:
        UserError: If there is none; more traces may have one.
    """
    by_method = {one.run.asker.method.name: one for one in scored}
    plain = {reading.id: reading for reading in by_method["baseline"].readings}
    for name in methods:
        one = by_method[name]
        own = {reading.id: reading for reading in one.readings}
        for file in one.run.trace_files(one.name).values():
            panel = read_panel(file)
            said = own[panel.sample].text.lower()
            for number, text in marked(panel, plain[panel.sample], one.reader):
                if text.lower() not in said:
                    return MadeUp(one.scores.key, panel.sample, one.run.path.name, number, text)
    raise UserError(f"no traced word that {', '.join(methods)} leaves out; trace more samples")


def marked(panel: Panel, reading: Reading, reader: Benchmark) -> list[tuple[int, str]]:
    """List the words of a baseline's answer that are marked as made up, with their numbers."""
    marks = [(start, end) for start, end, right in reader.marks(reading) if not right]
    found, place = [], 0
    for number, word in enumerate(panel.baseline.words):
        start = reading.text.find(word, place)
        if start < 0:
            continue
        place = start + len(word)
        if any(low < place and start < high for low, high in marks):
            found.append((number, word))
    return found


def photograph(page: Path, wanted: dict[Path, tuple[str, str]]) -> None:
    """Take a picture of a part of the page at each of some addresses."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser: Any = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for file, (address, part) in wanted.items():
            tab = browser.new_page(
                viewport={"width": 1280, "height": 640}, device_scale_factor=1.25
            )
            tab.goto(f"file://{page}#{address}")
            tab.wait_for_selector("#main h2")
            if part == "body":
                tab.screenshot(path=file)
            else:
                tab.wait_for_selector(f"{part} canvas")
                tab.wait_for_timeout(300)
                tab.locator(part).screenshot(path=file)
            tab.close()
            reduce(file)
        browser.close()


def reduce(file: Path) -> None:
    """Leave fewer colours where a picture is larger than README should load."""
    with Image.open(file) as opened:
        image = opened.convert("RGB")
    for colours in (256, 128, 64):
        if file.stat().st_size <= MOST:
            return
        image.quantize(colours, kmeans=3).save(file, optimize=True)


if __name__ == "__main__":
    typer.run(main)
