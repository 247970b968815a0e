"""A run in which a method edits nothing says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from halluc.config import DecodingConfig, MethodConfig, ModelConfig, RunConfig
from halluc.decoding.generation import generate
from halluc.evaluation import evaluate
from halluc.interventions.touch import Touch
from halluc.store import find_scored
from tests.kit.asking import prepared, questions
from tests.kit.families import llava

EDITS: dict[str, dict[str, Any]] = {
    "vhr": {}, "paint": {}, "act": {"beta": 0.1, "threshold": 0.01, "variant": "official_code"},
    "zerotuning": {}, "cmai": {}, "agla": {}, "apc": {}, "flowcut": {}, "nullu": {}, "pba": {},
}  # fmt: skip
NOTHING: dict[str, dict[str, Any]] = {
    "var": {"tau": 1e6}, "vhr": {"gain": 1.0}, "zerotuning": {"gamma": 1.0}, "cmai": {"share": 0.0},
    "paint": {"alpha": 0.0, "beta": 0.0}, "agla": {"alpha": 0.0, "beta": 0.0}, "nullu": {"rank": 0},
}  # fmt: skip


def touched(name: str, **params: Any) -> Touch:
    model, touch = llava(), Touch()
    method = prepared(name, model, **params)
    generate(model, method, questions(model, 0, 1), DecodingConfig(), max_new_tokens=3, touch=touch)
    return touch


@pytest.mark.parametrize("name", EDITS)
def test_a_method_that_edits_is_seen_to(name: str) -> None:
    assert not touched(name, **EDITS[name]).nothing


@pytest.mark.parametrize("name", NOTHING)
def test_a_method_that_edits_nothing_is_seen_not_to(name: str) -> None:
    assert touched(name, **NOTHING[name]).nothing


def test_comparing_ends_after_a_few_batches() -> None:
    assert not Touch(batches=4).watching and not Touch(seen=True).watching and Touch().watching


def test_the_run_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = RunConfig(
        model=ModelConfig(name="glyph"), method=MethodConfig(name="var", params=NOTHING["var"]),
        benchmarks=("glyph_pope",), limit=2,
    )  # fmt: skip
    done = evaluate(config, tmp_path)
    assert done.untouched == ["glyph_pope"]
    assert "glyph_pope: var edited nothing here" in capsys.readouterr().err.replace("\n", " ")
    (scored,) = find_scored(done.folder)
    assert scored.scores.untouched is True
