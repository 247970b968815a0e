"""The rooms lie in order: imports point downwards, go round in no circle, and names are unique."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from statistics import median
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]

LAYERS = (
    {
        "config", "errors", "figure_files", "files", "images", "interruption", "lines_file",
        "memory", "plain_text", "progress", "provenance", "registry", "suggestions", "types",
        "validation",
    },
    {"data"},
    {"world"},
    {"models"},
    {"world.training"},
    {"remote"},
    {"interventions"},
    {"decoding"},
    {"scoring"},
    {"calibration"},
    {"methods", "benchmarks"},
    {"store"},
    {"statistics"},
    {"leaderboard"},
    {"claims"},
    {"recorded"},
    {"importing"},
    {"evaluation"},
    {"sweep"},
    {"lab"},
    {"attend"},
    {"crosscheck"},
    {"export"},
    {"report"},
    {"doctor"},
    {"testing"},
    {"python_api"},
    {"cli"},
    {"__main__"},
    {"halluc"},
)  # fmt: skip
"""Rooms from bottom to top: a module imports from its own room and from lower layers only.

"halluc" is `halluc/__init__.py`, the public API.
"""

LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}


class Import(NamedTuple):
    """One import statement, wherever it stands: in a function and under TYPE_CHECKING too."""

    source: str
    line: int
    target: str

    def __str__(self) -> str:
        return f"{self.source}:{self.line} imports {self.target}"


@cache
def sources() -> dict[str, Path]:
    """Modules of the package as it is installed, each with its file."""
    found = {}
    for folder, name in (
        ("halluc", "halluc"),
        *((f, f"halluc.{f}") for f in ("methods", "benchmarks")),
    ):
        for file in sorted((ROOT / folder).rglob("*.py")):
            parts = file.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join([name, *parts]).removesuffix(".__init__")] = file
    return found


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(sources()[module].read_text())


def imports(module: str) -> Iterator[Import]:
    """Yield what a module imports of the package."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name in sources():
                    yield Import(module, node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom) and (node.module or "") in sources():
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield Import(module, node.lineno, inner if inner in sources() else str(node.module))


def room(module: str) -> str:
    """The room of a module: the first name below halluc; training is a room of its own."""
    if module.startswith("halluc.world.training"):
        return "world.training"
    _, *inner = module.split(".")
    return inner[0] if inner else "halluc"


@cache
def all_imports() -> list[Import]:
    return [found for module in sources() for found in imports(module)]


def allowed(source: str, target: str) -> bool:
    """Whether one room may import another; the lowest layer's modules may import each other."""
    return source == target or LEVEL[source] > LEVEL[target] or LEVEL[source] == LEVEL[target] == 0


def test_every_room_has_a_layer() -> None:
    assert {room(module) for module in sources()} <= LEVEL.keys()


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "AGENTS.md"])
def test_every_folder_of_a_room_stands_in_the_table(page: str) -> None:
    table = [line for line in (ROOT / page).read_text().splitlines() if line.startswith("|")]
    paths = {name.replace(".", "/") for name in LEVEL}
    folders = {path if (ROOT / path).is_dir() else f"halluc/{path}" for path in paths - {"halluc"}}
    missing = {
        path
        for path in folders
        if (ROOT / path).is_dir() and not any(f"`{path}/" in line for line in table)
    }
    assert not missing, sorted(missing)


def test_imports_point_downwards() -> None:
    upward = [
        str(found) for found in all_imports() if not allowed(room(found.source), room(found.target))
    ]
    assert not upward, "\n".join(sorted(set(upward)))


def test_imports_go_round_in_no_circle() -> None:
    circles = [circle for circle in components(graph()) if len(circle) > 1]
    assert not circles, "\n".join(", ".join(sorted(circle)) for circle in circles)


def graph() -> dict[str, set[str]]:
    """Each module and the modules it imports."""
    edges: dict[str, set[str]] = {module: set() for module in sources()}
    for found in all_imports():
        edges[found.source].add(found.target)
    return edges


def components(edges: dict[str, set[str]]) -> list[set[str]]:
    """Group modules that can be reached from each other."""

    def reached(start: str) -> set[str]:
        seen, waiting = {start}, [start]
        while waiting:
            new = edges[waiting.pop()] - seen
            seen |= new
            waiting += new
        return seen

    reach = {module: reached(module) for module in edges}
    groups = {
        frozenset(other for other in reach[module] if module in reach[other]) for module in edges
    }
    return [set(group) for group in groups]


def public_names(module: str) -> set[str]:
    """Functions and classes a module defines for others."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in tree(module).body if isinstance(node, kinds)}


def test_no_module_is_called_like_what_it_defines() -> None:
    clashes = [module for module in sources() if module.rpartition(".")[2] in public_names(module)]
    assert not clashes, clashes


def test_no_package_exports_the_name_of_its_submodule() -> None:
    clashes = []
    for module, file in sources().items():
        if file.name != "__init__.py":
            continue
        inner = {
            other.removeprefix(f"{module}.")
            for other in sources()
            if other.startswith(f"{module}.") and other.count(".") == module.count(".") + 1
        }
        exported = {
            alias.asname or alias.name
            for node in tree(module).body
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
            if f"{node.module}.{alias.name}" not in sources()
        }
        clashes += [f"{module}.{name}" for name in (exported | public_names(module)) & inner]
    assert not clashes, clashes


MEAN_SEVERAL_THINGS = {
    "Asked": 2,  # what runs answered, and what an answer to MME is to
    "Box": 2,  # where a detector finds a thing, and where COCO's notes have one; methods use it
    "Comparison": 2,  # what `halluc.compare` gives, and the statistics of two runs
    "Cost": 2,  # passes a method takes, of the public API; and what a run took, as scores keep it
    "Judged": 2,  # an answer of HallusionBench, and what methods gain on one benchmark
    "Pair": 2,  # questions of MME about an image, and two runs of a board
    "Question": 2,  # of MME's answer files, and of POPE
    "Row": 2,  # of a file that is read, with its place in it; and of a board
}
"""Classes whose names several modules of halluc/ define, and how many do: it may only shrink."""


def test_a_class_name_means_one_thing() -> None:
    counts = Counter(
        node.name
        for module in sources()
        if room(module) not in ("methods", "benchmarks")
        for node in tree(module).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert {name: n for name, n in counts.items() if n > 1} == MEAN_SEVERAL_THINGS


def test_nothing_outside_imports_the_command_line() -> None:
    outside = [
        str(found)
        for found in all_imports()
        if room(found.target) == "cli" and room(found.source) not in ("cli", "__main__")
    ]
    assert not outside, outside


def test_modules_are_short() -> None:
    lengths = [len(file.read_text().splitlines()) for file in sources().values()]
    assert median(lengths) < 130


def test_a_method_fits_on_155_lines() -> None:
    files = [file for file in (ROOT / "methods").glob("*.py") if not file.name.startswith("_")]
    long = {file.name: n for file in files if (n := len(file.read_text().splitlines())) > 155}
    assert not long, long
