"""Pages of the site whose one source lies outside docs/: the map, the glossary, the examples.

A hook of mkdocs. Links in pages are those that hold in the repository; the hook turns those to
files outside docs/ into links to the pages that show them. What it does not show stays as it is,
and the strict build refuses it.
"""

from __future__ import annotations

import ast
import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
LANGUAGES = {".py": "python", ".sh": "bash", ".sbatch": "bash", ".yaml": "yaml", ".toml": "toml"}
DOCUMENTS = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "AGENTS.md": "agents.md",
    "CHANGELOG.md": "changelog.md",
}
"""Files of the root and the pages that show them; the index is written for the site."""
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)(#[^)\s]*)?\)")


def shown() -> dict[str, str]:
    """Files outside docs/, by their place in the repository, and the page that shows each."""
    names = {path.name for path in (ROOT / "examples").iterdir() if path.name[0] not in "._"}
    examples = {f"examples/{name}": f"examples/{name.partition('.')[0]}.md" for name in names}
    return DOCUMENTS | examples


def on_files(files: Files, config: Any) -> Files:
    """Add a page for every file that is shown, and the glossary."""
    architecture = (ROOT / "ARCHITECTURE.md").read_text()
    (glossary,) = re.findall(r"^## Glossary\n(.*?)(?=^## )", architecture, re.M | re.S)
    made = {"glossary.md": "# Glossary\n" + glossary}
    for source, page in shown().items():
        if page != "index.md":
            made[page] = page_of(ROOT / source)
    for page, text in made.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Point links at pages of the site."""
    sources = {place: source for source, place in shown().items() if place != "index.md"}
    uri = page.file.src_uri
    source = "ARCHITECTURE.md" if uri == "glossary.md" else sources.get(uri, f"docs/{uri}")
    return LINK.sub(lambda link: f"]({target(link[1], source, uri)}{link[2] or ''})", markdown)


def target(link: str, source: str, page: str) -> str:
    """The link on a page of the site, of one that stands in a file of the repository."""
    named = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
    place = shown().get(named) or named.removeprefix("docs/")
    if place == named:
        return link  # no page shows that file
    return posixpath.relpath(place, posixpath.dirname(page) or ".")


def page_of(path: Path) -> str:
    """A file as Markdown: documents as they are, code in a block below its first words."""
    if path.suffix == ".md":
        return path.read_text()
    title = path.stem.replace("_", " ").capitalize()
    place = PurePosixPath(path.relative_to(ROOT))
    parts = [f"# {title}", f"`{place}`"]
    if path.suffix == ".ipynb":
        parts = [parts[1], *cells(path)]
    elif path.is_dir():
        for file in sorted(file for file in path.rglob("*") if file.suffix in LANGUAGES):
            parts += [f"`{file.relative_to(ROOT)}`", block(file)]
    else:
        parts += [block(path)]
    return "\n\n".join(parts) + "\n"


def block(path: Path) -> str:
    """A file of code: its docstring as text, the rest as a block."""
    code, words = path.read_text(), ""
    if path.suffix == ".py" and (words := ast.get_docstring(ast.parse(code)) or ""):
        code = re.sub(r'\A""".*?"""\n+', "", code, flags=re.S)
    fence = f"```{LANGUAGES[path.suffix]}\n{code.rstrip()}\n```"
    return f"{words}\n\n{fence}" if words else fence


def cells(path: Path) -> Iterator[str]:
    """The cells of a notebook."""
    for cell in json.loads(path.read_text())["cells"]:
        text = "".join(cell["source"])
        yield text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```"
