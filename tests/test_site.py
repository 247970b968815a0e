"""The site of docs/: strict, nothing from the network, and each page has one source."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for module in ("mkdocs", "material", "mkdocstrings"):
        pytest.importorskip(module, reason=f"needs {module}: make docs installs it")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_nothing_comes_from_the_network(site: Path) -> None:
    for page in site.rglob("*.html"):
        assert not re.findall(r'<(?:script|img|iframe)[^>]+src="?https?:', page.read_text()), page
        assert not re.findall(r'<link[^>]+href="?https?:[^>]+stylesheet', page.read_text()), page


def test_the_glossary_is_the_one_of_the_map(site: Path) -> None:
    part = (ROOT / "ARCHITECTURE.md").read_text().split("## Glossary")[1].split("\n## ")[0]
    words = re.findall(r"^\| ([^|]+) \|", part, re.M)[1:]
    shown = re.findall(r"<td>(.*?)</td>", (site / "glossary.html").read_text())
    assert len(words) > 40
    assert [re.sub(r"<.*?>", "", cell) for cell in shown[::2]] == [w for w in words if w != "---"]


def test_examples_are_shown_and_linked(site: Path) -> None:
    assert 'href="examples/slurm.html"' in (site / "scale.html").read_text()
    assert 'href="examples/plug_in.html"' in (site / "add-a-benchmark.html").read_text()
    text = unescape(re.sub(r"<[^>]+>", "", (site / "examples/plug_in.html").read_text()))
    assert "[project.entry-points" in text and "class Cooler" in text and "class Absent" in text
    assert 'href="../add-a-method.html"' in (site / "architecture.html").read_text() or (
        'href="add-a-method.html"' in (site / "architecture.html").read_text()
    )


def test_the_reference_shows_parameters_and_examples(site: Path) -> None:
    page = (site / "reference.html").read_text()
    text = unescape(re.sub(r"<[^>]+>", "", page))
    assert 'id="halluc.evaluate"' in page and 'id="halluc.At"' in page
    assert "Names, names joined by" in text and 'halluc.load("glyph")' in text
