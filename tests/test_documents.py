"""Every block of code in docs/ runs or says why not; every link between pages leads somewhere."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

import halluc
from halluc.cli.app import app
from halluc.interventions import REGISTRY
from halluc.scoring.base import REGISTRY as BENCHMARKS
from tests.kit.pages import (
    REASONS,
    ROOT,
    Block,
    blocks,
    commands,
    folder_of_names,
    try_command,
)

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
ROOTS = sorted(file for file in ROOT.glob("*.md"))
ELSEWHERE = {
    "add-a-method.md": "tests/test_add_a_method.py",
    "own-data.md": "tests/benchmarks/test_own_data.py",
    "python.md": "tests/test_public_api.py",
    "scale.md": "tests/test_scale.py",
}
"""Pages whose blocks have a test of their own, which runs them whole."""
ALL = [block for page in PAGES for block in blocks(page)]
HERE = [block for block in ALL if block.page not in ELSEWHERE]
TYPED = [one for one in (*HERE, *blocks(ROOT / "README.md")) if not one.language + one.reason]
OURS = sorted({line for one in TYPED for line in commands(one) if line.startswith("halluc ")})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of_names(tmp_path_factory.mktemp("documents"))


@pytest.mark.parametrize("command", OURS)
def test_commands_are_valid(command: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HALLUC_CACHE", str(folder / "cache"))
    try_command(command, monkeypatch)


def test_a_wrong_command_would_not_be_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError):
        try_command("halluc eval --method var --method-args kep=0.5", monkeypatch)


@pytest.mark.parametrize(
    "page", sorted({block.page for block in HERE if block.language == "python"})
)
def test_python_runs_from_top_to_bottom(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    space: dict[str, object] = {"__name__": "page"}
    with REGISTRY.scratch(), BENCHMARKS.scratch():
        for block in HERE:
            if block.page == page and block.language == "python" and not block.reason:
                exec(compile(block.text, str(block), "exec"), space)


def tells(block: Block) -> str:
    """What is wrong with a block that is neither a command of ours nor Python; "" if nothing."""
    if block.reason:
        return "" if block.reason in REASONS else f"{block.reason!r} is none of {REASONS}"
    if block.language in ("python", "text"):
        return ""
    if block.language == "toml" or block.text.startswith("["):
        tomllib.loads(block.text)
        return ""
    if block.language:
        return f"nothing runs {block.language}"
    return "; ".join(filter(None, map(unknown, commands(block))))


def unknown(line: str) -> str:
    """What of a command that is not ours does not exist."""
    line = line.removeprefix(".venv/bin/")
    if made := re.match(r"make ([\w-]+)", line):
        return "" if re.search(rf"^{made[1]}:", makefile(), re.M) else f"no target {made[1]}"
    if module := re.match(r"python -m ([\w.]+)(?: (tests/\S+))?$|python -m ([\w.]+) --", line):
        found = find_spec(module[1] or module[3]) and (ROOT / (module[2] or "tests")).exists()
        return "" if found else f"no module or folder: {line}"
    if extra := re.match(r"pip install '?halluc(?:\[(\w+)\])?'?$", line):
        return "" if extra[1] is None or extra[1] in extras() else f"no extra {extra[1]}"
    if line.startswith("halluc "):
        return ""
    if "examples/" in line:
        files = re.findall(r"examples/[\w.-]+", line)
        return "" if all((ROOT / file).exists() for file in files) else f"no such file: {line}"
    return f"what is it? {line}"


@cache
def makefile() -> str:
    return (ROOT / "Makefile").read_text()


@cache
def extras() -> dict[str, list[str]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found: dict[str, list[str]] = project["optional-dependencies"]
    return found


@pytest.mark.parametrize("block", [one for one in ALL if one.page != "scale.md"], ids=str)
def test_every_block_runs_or_says_why_not(block: Block) -> None:
    assert not tells(block)


@pytest.mark.parametrize(("page", "test"), ELSEWHERE.items())
def test_pages_with_a_test_of_their_own_have_one(page: str, test: str) -> None:
    assert f"docs/{page}" in (ROOT / test).read_text()


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: page.name)
def test_commands_and_extras_named_in_the_text_exist(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    for typed in re.findall(r"`(halluc(?:\[\w+\]| [^`]+))`", text):
        if extra := re.fullmatch(r"halluc\[(\w+)\]", typed):
            assert extra[1] in extras(), typed
        else:
            assert not misnamed(typed)
    for block in blocks(page):
        for line in commands(block) if block.reason and not block.language else []:
            assert not misnamed(line)


def misnamed(typed: str) -> str:
    """What of a command of ours does not exist: a name of it, or an option."""
    known: Any = typer.main.get_command(app)
    words = typed.split()[1:]
    while hasattr(known, "commands") and words and not words[0].startswith("-"):
        if words[0] not in known.commands:
            return f"{typed}: no command {words[0]}"
        known = known.commands[words.pop(0)]
    options = {name for one in known.params for name in (*one.opts, *one.secondary_opts)}
    named = {word.partition("=")[0] for word in words if word.startswith("--")}
    wrong = named - options - {"--help"}
    return f"{typed}: no option {min(wrong)}" if wrong else ""


def links(page: Path) -> Iterator[tuple[str, str]]:
    """Yield the relative links of a page: file, anchor."""
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text(), flags=re.M | re.S)
    for link in re.findall(r"\]\((?!\w+:)([^)\s]+)\)", text):
        file, _, anchor = link.partition("#")
        yield file, anchor


@cache
def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub and the site make them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    titles = re.findall(r"^#+ (.+?)\s*$", text, flags=re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", [*PAGES, *ROOTS], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for file, anchor in links(page):
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{page.name}: {file}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {file}#{anchor}"


def test_wrong_blocks_and_links_would_be_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# It\n\n    make nothing\n\n<!-- not run: no time -->\n\n```bash\nls\n```\n\n[x](#that)\n"
    )
    indented, fenced = blocks(page)
    assert (indented.line, fenced.line, fenced.text) == (3, 7, "ls")
    assert tells(indented) == "no target nothing" and "no time" in tells(fenced)
    assert tells(fenced._replace(reason="")) == "nothing runs bash"
    assert unknown("pip install 'halluc[nothing]'") and unknown("python -m halluc.nothing")
    with pytest.raises(AssertionError, match="#that"):
        test_links_lead_somewhere(page)
    page.write_text("Try `halluc eval --metod var`.")
    with pytest.raises(AssertionError, match="no option --metod"):
        test_commands_and_extras_named_in_the_text_exist(page)
    assert misnamed("halluc recorded feth") and not misnamed("halluc recorded fetch --copies X")


def test_every_page_is_in_the_navigation() -> None:
    text = yaml.dump(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    shown = set(re.findall(r"[\w/-]+\.md", text))
    assert {page.name for page in PAGES} <= shown
    examples = {file.name.partition(".")[0] for file in (ROOT / "examples").iterdir()}
    assert {f"examples/{name}.md" for name in examples if name[:1] not in "._"} <= shown


def test_the_reference_has_every_public_name() -> None:
    named = re.findall(r"^::: halluc\.(\w+)$", (DOCS / "reference.md").read_text(), re.M)
    assert sorted(named) == sorted(halluc.__all__)


def test_every_trap_comes_with_a_command_or_a_page() -> None:
    _, *traps = re.split(r"^### ", (DOCS / "traps.md").read_text(), flags=re.M)
    assert len(traps) > 14
    assert all("halluc " in trap or "](" in trap for trap in traps)


def test_the_complete_benchmark_is_all_its_page_says() -> None:
    (example, *_) = (block for block in ALL if block.page == "add-a-benchmark.md")
    functions = [node for node in ast.walk(ast.parse(example.text)) if hasattr(node, "args")]
    methods = {node.name for node in functions if isinstance(node, ast.FunctionDef)}
    assert methods >= {"samples", "predict", "tally", "metrics"}
