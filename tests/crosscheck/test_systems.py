"""Systems as they are typed, and what a cross-check refuses before a model is loaded."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from halluc.crosscheck.crosscheck_config import CrossCheckConfig
from halluc.crosscheck.systems import System, by_model, parse_system, parse_systems
from halluc.errors import UserError
from halluc.scoring.crosscheck.implicit_questions import PAPER
from halluc.validation import checked
from tests.kit.command import halluc


@pytest.mark.parametrize(
    ("text", "system", "name"),
    [
        ("glyph", System("glyph", "baseline"), "glyph"),
        ("glyph:baseline", System("glyph", "baseline"), "glyph"),
        ("glyph:vhr+var", System("glyph", "vhr+var"), "glyph:vhr+var"),
        ("org/model-7b:var", System("org/model-7b", "var"), "org/model-7b:var"),
        ("openai:qwen2.5vl:7b", System("openai:qwen2.5vl:7b", "baseline"), "openai:qwen2.5vl:7b"),
    ],
)
def test_a_system_is_a_model_with_a_method(text: str, system: System, name: str) -> None:
    assert parse_system(text) == system
    assert str(system) == name


def test_systems_count_once_and_are_grouped_by_model() -> None:
    found = parse_systems("glyph, org/model:var,glyph:baseline,glyph:vhr,")
    assert list(map(str, found)) == ["glyph", "org/model:var", "glyph:vhr"]
    assert list(map(len, by_model(found).values())) == [2, 1]


def config(**values: Any) -> CrossCheckConfig:
    return checked(
        CrossCheckConfig, {"targets": "glyph", "evidence": "glyph"} | values, "crosscheck"
    )


@pytest.mark.parametrize(
    ("values", "culprit"),
    [
        ({"targets": "glyph:vra"}, "unknown method 'vra'"),
        ({"targets": "glyf"}, "unknown model 'glyf'"),
        ({"targets": ":var"}, "system ':var' lacks a model; write MODEL or MODEL:METHOD"),
        ({"evidence": ","}, "no system is named"),
        ({"benchmark": "glyph_pope"}, "glyph_pope: does not ask for descriptions"),
        ({"benchmark": "openchair"}, "openchair: has no word list of objects; give --judge"),
        ({"question": "is it right?"}, "write 'objects', or a question with {sentence} in it"),
        ({"samples_per_model": 0}, "greater than or equal to 1"),
        ({"temperature": 0}, "greater than 0"),
        ({"variant": "official"}, "'paper' or 'official_code'"),
        ({"benchmark_args": {"fodler": "a"}}, "takes no 'fodler'"),
    ],
)
def test_what_cannot_be_checked_is_refused(values: dict[str, Any], culprit: str) -> None:
    with pytest.raises(UserError, match=re.escape(culprit)):
        config(**values)


def test_small_models_are_asked_about_objects_and_others_in_the_papers_words() -> None:
    assert config().wording == "objects"
    assert config(question=PAPER).wording == PAPER
    assert config(benchmark="chair_coco").wording == PAPER


def test_a_wrong_system_is_one_line(tmp_path: Path) -> None:
    done = halluc("crosscheck", "--targets", "glyph:vra", "--evidence", "glyph", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("halluc: unknown method 'vra'") and done.stderr.count("\n") == 1
    assert not any(tmp_path.iterdir())
