"""What `halluc power` plans for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from halluc.cli.app import app
from halluc.cli.pilot import sought
from halluc.errors import UserError
from halluc.store import RunFolder, find_scored
from tests.kit.runs import write_run


@pytest.fixture(scope="module")
def pilot(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("runs")
    method = write_run(folder, "vhr", error=0.4, benchmarks=("glyph_mme",), seed=1)
    return method.path, write_run(folder, error=0.1, benchmarks=("glyph_mme",)).path


def test_the_pilot_fills_in_benchmark_and_difference(pilot: tuple[Path, Path]) -> None:
    shares = []
    for path in pilot:
        (scored,) = find_scored(RunFolder.read(path))
        right = [one.right for image in scored.images.values() for one in image.answers]
        shares.append(sum(map(bool, right)) / len(right))
    found = sought(None, None, pilot)
    assert found.benchmark == "glyph_mme" and found.observed > 0
    assert found.difference == pytest.approx(abs(shares[0] - shares[1]))
    assert sought(None, 0.05, pilot) == ("glyph_mme", 0.05, 0)
    assert sought("pope_coco", 0.01, None) == ("pope_coco", 0.01, 0)


def test_the_command_says_that_the_difference_is_the_pilots(pilot: tuple[Path, Path]) -> None:
    command = ["power", "--pilot", *map(str, pilot)]
    said = CliRunner().invoke(app, command).stdout
    found = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)
    assert f"--difference {found['difference']:.4g} is what the pilot shows on" in said
    assert "glyph_mme: " in said and found["observed_on_answers"] > 0


def test_what_a_pilot_cannot_tell_is_asked_for(pilot: tuple[Path, Path]) -> None:
    with pytest.raises(UserError, match=r"say --difference, as in --difference 0\.01; or"):
        sought("pope_coco", None, None)
    with pytest.raises(UserError, match="are right equally often; say which difference"):
        sought(None, None, (pilot[0], pilot[0]))
    more = write_run(pilot[0].parent, "vti", error=0.2, benchmarks=("glyph_mme",), seed=1).path
    with pytest.raises(UserError, match="differ in one direction only; say which difference"):
        sought(None, None, (pilot[0], more))
    with pytest.raises(UserError, match="no answers in common of glyph_pope"):
        sought("glyph_pope", None, pilot)
