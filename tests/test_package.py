"""The package lists what it holds, and says the same version everywhere."""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.version import Version

import halluc

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_package_is_in_the_wheel() -> None:
    found = {
        ".".join(file.parent.relative_to(ROOT).parts)
        for file in (ROOT / "halluc").rglob("__init__.py")
    }
    listed = set(PROJECT["tool"]["setuptools"]["packages"])
    assert listed == found | {"halluc.methods", "halluc.benchmarks"}


def test_lower_bounds_are_what_is_tested() -> None:
    lines = (ROOT / "constraints-lowest.txt").read_text().splitlines()
    pinned = dict(line.lower().split("==") for line in lines if "==" in line)
    extras = PROJECT["project"]["optional-dependencies"]
    required = [*PROJECT["project"]["dependencies"], *extras["device_map"]]
    bounds = dict(line.split(">=") for line in required if ">=" in line)
    assert "transformers" in bounds
    del bounds["torch"]  # no lower version has a CPU build where CI runs
    for name, bound in bounds.items():
        assert Version(pinned[name]) == Version(bound), name


def test_version() -> None:
    assert halluc.__version__ == PROJECT["project"]["version"]


def test_public_names_exist() -> None:
    assert all(hasattr(halluc, name) for name in halluc.__all__)
