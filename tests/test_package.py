"""The package lists what it holds, and says the same version everywhere."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.version import Version

import halluc
from halluc.provenance import VERSION

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_package_is_in_the_wheel() -> None:
    found = {
        ".".join(file.parent.relative_to(ROOT).parts)
        for file in (ROOT / "halluc").rglob("__init__.py")
    }
    listed = set(PROJECT["tool"]["setuptools"]["packages"])
    assert listed == found | {"halluc.methods", "halluc.benchmarks"}


@pytest.mark.skipif(
    not (ROOT / ".git").exists() or not shutil.which("git"), reason="not a checkout of git"
)
def test_git_ignores_no_file_of_the_package() -> None:
    """A file that is there, and that no clone has: .gitignore once hid the report's page."""
    command = ["git", "ls-files", "--others", "--ignored", "--exclude-standard", "--"]
    folders = ["halluc", "methods", "benchmarks", "tests", "docs"]
    done = subprocess.run(
        [*command, *folders], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert [line for line in done.stdout.splitlines() if "__pycache__" not in line] == []


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


def test_the_version_has_one_source() -> None:
    assert "version" in PROJECT["project"]["dynamic"]
    source = PROJECT["tool"]["setuptools"]["dynamic"]["version"]["attr"]
    assert source == "halluc.provenance.VERSION" and halluc.__version__ == VERSION
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["version"] == VERSION
    newest = re.search(r"^## (\S+) \((\S+)\)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert newest and newest[1] == VERSION and newest[2] == str(cited["date-released"])


def test_the_citation_has_what_its_format_requires() -> None:
    """Citation File Format 1.2.0, schema.json: required keys, and no other than it knows."""
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["cff-version"] == "1.2.0" and cited["type"] == "software"
    assert {"authors", "cff-version", "message", "title"} <= cited.keys()
    known = {"abstract", "date-released", "keywords", "license", "type", "version"}
    assert cited.keys() <= known | {"authors", "cff-version", "message", "title"}
    assert cited["license"] == PROJECT["project"]["license"]
    assert cited["authors"] and all("name" in one for one in cited["authors"])


def test_the_workflow_runs_what_ci_runs() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert ".ci/run" in [step.get("run") for step in steps]
    python = {
        str(s["with"]["python-version"]) for s in steps if "python-version" in s.get("with", {})
    }
    assert python == {PROJECT["project"]["requires-python"].removeprefix(">=")}


def test_public_names_exist() -> None:
    assert all(hasattr(halluc, name) for name in halluc.__all__)
