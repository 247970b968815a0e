"""The bench of speed runs, and what it compares says the same."""

from __future__ import annotations

import re

import pytest
import torch

from bench.decode import methods, searches
from bench.geometry import build, questions
from bench.speed import pope, sweep
from halluc.interventions import REGISTRY
from halluc.models import VisionLanguageModel


@pytest.fixture(scope="module")
def model() -> VisionLanguageModel:
    return build("tiny", "cpu", torch.float32, side=56)


def rows(lines: list[str]) -> list[list[str]]:
    """Cells of a markdown table's rows."""
    found = [line for line in lines if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found][1:]


@pytest.mark.parametrize("section", [pope, pytest.param(sweep, marks=pytest.mark.slow)])
def test_what_is_compared_is_equal(section: object, model: VisionLanguageModel) -> None:
    assert callable(section)
    table = rows("\n".join(section(model, 1)).splitlines())
    assert len(table) >= 3
    for cells in table:
        equal, of = re.fullmatch(r"(\d+) of (\d+)", cells[-1]).groups()  # type: ignore[union-attr]
        assert equal == of and int(of) > 0
        assert float(cells[2].strip("*").split()[0]) > 0


@pytest.mark.slow
def test_every_method_is_timed(model: VisionLanguageModel) -> None:
    table = rows("\n".join(methods(model, 1)).splitlines())
    named = [name for name in REGISTRY.names() if name != "baseline"]
    assert [cells[0] for cells in table] == [*named, "image bias"]
    assert all(float(cells[2].split()[0]) > 0 for cells in table)


@pytest.mark.slow
def test_searches_say_the_same_behind_one_prompt(model: VisionLanguageModel) -> None:
    table = rows("\n".join(searches(model, 1)).splitlines())
    assert [cells[4] for cells in table] == ["", "true", "", "true", ""]
    assert all(float(cells[1]) > 0 for cells in table)


def test_questions_repeat_as_asked() -> None:
    samples = questions(2, 18, (10, 11))
    asked = [{s.prompt for s in samples if s.image_id == f"image-{i}"} for i in (0, 1)]
    assert len(samples) == 36 and [len(prompts) for prompts in asked] == [10, 11]
