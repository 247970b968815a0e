"""What is imported is declared, what is declared is imported, and all of it is pinned."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SHIPPED = ("halluc", "methods", "benchmarks")
OURS = {*SHIPPED, "tests", "bench", "examples"}

CALLED = {
    "pillow": "pil",
    "pyyaml": "yaml",
    "scikit_learn": "sklearn",
    "vl_convert_python": "vl_convert",
}
"""Distributions that are imported by another name, as both are written in lower case."""

THROUGH_TRANSFORMERS = {"torchvision", "num2words", "accelerate", "bitsandbytes"}
COMMANDS = {
    "ruff",
    "mypy",
    "pytest_xdist",
    "build",
    "twine",
    "mkdocs_material",
    "mkdocstrings_python",
}
"""What is run and not imported."""


def names(requirements: list[str]) -> set[str]:
    """Return what distributions are imported as."""
    found = {re.split(r"[\[<>=! ]", one)[0].lower().replace("-", "_") for one in requirements}
    return {CALLED.get(name, name) for name in found}


EXTRAS = {extra: names(lines) for extra, lines in PROJECT["optional-dependencies"].items()}
CORE = names(PROJECT["dependencies"])
FOR_USERS = set().union(*(EXTRAS[e] for e in EXTRAS.keys() - {"dev", "docs", "release"}))


def modules(tree: ast.AST) -> Iterator[str]:
    """Yield what a file imports, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
        elif (
            isinstance(node, ast.Call)
            and ast.unparse(node.func).endswith("importorskip")
            and isinstance(node.args[0], ast.Constant)
        ):
            yield str(node.args[0].value)


def imported(*folders: str) -> dict[str, set[str]]:
    """Return the foreign packages that folders import, and the files that do."""
    found: dict[str, set[str]] = defaultdict(set)
    for folder in folders:
        for file in (ROOT / folder).rglob("*.py"):
            for module in modules(ast.parse(file.read_text(encoding="utf-8"))):
                top = module.split(".")[0]
                if top not in sys.stdlib_module_names and top not in OURS:
                    found[top.lower()].add(str(file.relative_to(ROOT)))
    return found


def test_what_is_imported_is_declared() -> None:
    found = imported(*SHIPPED)
    undeclared = {name: found[name] for name in found.keys() - CORE - FOR_USERS}
    assert not undeclared
    testing = imported("tests", "bench")
    assert not {n: testing[n] for n in testing.keys() - CORE - FOR_USERS - EXTRAS["dev"]}


def test_what_is_declared_is_imported() -> None:
    found = imported(*SHIPPED).keys()
    assert not CORE - found
    assert not FOR_USERS - found - THROUGH_TRANSFORMERS
    developers = EXTRAS["dev"] | EXTRAS["docs"] | EXTRAS["release"]
    assert not developers - imported("tests", "bench").keys() - COMMANDS - FOR_USERS


def test_what_serves_one_purpose_is_in_no_other_place() -> None:
    assert not CORE & FOR_USERS


@pytest.mark.parametrize(
    ("package", "rooms"),
    [
        ("ray", {"evaluation"}),
        ("optuna", {"sweep"}),
        ("altair", {"report"}),
        ("spacy", {"scoring"}),
    ],
)
def test_a_heavy_package_is_imported_by_one_room(package: str, rooms: set[str]) -> None:
    assert {Path(file).parts[1] for file in imported("halluc")[package]} == rooms


@pytest.mark.parametrize(
    ("file", "extras"),
    [
        ("constraints.txt", ("dev", "sweep", "cluster", "notebook", "figures", "docs", "release")),
        ("constraints-lowest.txt", ("dev", "notebook", "figures")),
    ],
)
def test_what_is_installed_for_tests_is_pinned(file: str, extras: tuple[str, ...]) -> None:
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    pinned = names([line for line in lines if "==" in line])
    assert not CORE - pinned
    assert not {extra: EXTRAS[extra] - pinned for extra in extras if EXTRAS[extra] - pinned}
