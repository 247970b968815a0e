"""Contrasts with a view degraded inside the model, next to plain loops without an engine."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from halluc.interventions import Batch
from halluc.interventions.context import seed_of
from halluc.methods._counterfactuals import uniform_draws
from halluc.models import VisionLanguageModel
from tests.kit.asking import answer, prepared, questions
from tests.kit.families import build
from tests.references.avisc import avisc
from tests.references.causalmm import causalmm
from tests.references.compare import FAMILIES, TOKENS, Reference, by, equal, tiny
from tests.references.damro import damro
from tests.references.sid import sid

BY_CODE: list[dict[str, Any]] = [
    {},
    {"vision": "random", "beta": 0.01},
    {"vision": "uniform", "gamma": 3.0},
    {"vision": "reversed", "parts": "both", "beta": 0.01},
]
DAMRO: list[dict[str, Any]] = [
    {},
    {"variant": "official_code"},
    {"share": 0.3, "alpha": 4.0, "beta": 0.01},
    {"share": 0.3, "alpha": 4.0, "variant": "official_code"},
]


def by_causalmm(
    model: VisionLanguageModel, batch: Batch, **params: Any
) -> tuple[list[int], Tensor]:
    def draw(step: int, shape: tuple[int, ...]) -> Tensor:
        (seed,) = batch.image_seeds if step < 0 else batch.seeds
        return uniform_draws(seed_of(seed, str(max(step, 0))), shape)

    return causalmm(model.model, batch.inputs, draw=draw, n_tokens=TOKENS, **params)


CASES: list[tuple[str, Reference, dict[str, Any]]] = [
    ("sid", by(sid), {}),
    ("sid", by(sid), {"alpha": 3.0, "beta": 0.01, "layer": 2, "share": 0.3}),
    ("sid", by(sid), {"alpha": 2.0, "variant": "official_code"}),
    ("sid", by(sid), {"alpha": 2.0, "variant": "official_code", "layer": 3, "share": 0.05}),
    ("avisc", by(avisc), {}),
    ("avisc", by(avisc), {"alpha": 3.0, "beta": 0.01, "lamb": 0.3}),
    ("avisc", by(avisc), {"alpha": 2.0, "gamma": 0.9, "lamb": 0.0}),
    ("avisc", by(avisc), {"alpha": 2.0, "gamma": 0.1, "lamb": -0.5}),
    ("causalmm", by_causalmm, {}),
    ("causalmm", by_causalmm, {"parts": "vision", "gamma": 20.0, "beta": 0.01}),
    ("causalmm", by_causalmm, {"parts": "text", "text": "shuffled"}),
    ("causalmm", by_causalmm, {"vision": "random", "text": "random", "gamma": 1.0}),
    ("causalmm", by_causalmm, {"vision": "reversed", "text": "uniform", "beta": 0.3}),
    ("causalmm", by_causalmm, {"vision": "uniform", "parts": "vision", "gamma": 10.0}),
]


@FAMILIES
@pytest.mark.parametrize(("name", "reference", "params"), CASES)
def test_tokens_and_logits_equal_the_reference(
    name: str,
    reference: Reference,
    params: dict[str, Any],
    family: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    equal(tiny(family), name, reference, params, monkeypatch)


@cache
def sharp(seed: int = 0) -> VisionLanguageModel:
    """A LLaVA in whose tower heads attend to few patches each, so that it matters who counts."""
    model = build("llava", seed)
    attention: Any = model.tower.attention_modules[-2]
    with torch.no_grad():
        attention.q_proj.weight.mul_(40.0)
    return model


@pytest.mark.parametrize("params", DAMRO)
@pytest.mark.parametrize("seed", [0, 1])  # a tower without CLS, as Qwen2.5-VL's, is refused
def test_damro_equals_its_reference(
    params: dict[str, Any], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    equal(sharp(seed), "damro", by(damro), params, monkeypatch)


@pytest.mark.parametrize("params", BY_CODE)
def test_causalmms_code_equals_its_reference(
    params: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    params = {"variant": "official_code", **params}
    equal(sharp(), "causalmm", by_causalmm, params, monkeypatch)


def said(model: VisionLanguageModel, name: str, **params: Any) -> Tensor:
    return answer(model, prepared(name, model, **params), questions(model, 0), tokens=TOKENS).tokens


@pytest.mark.parametrize(
    ("family", "name", "params"),
    [
        ("llava", "sid", {"alpha": 2.0}),
        ("qwen2_5_vl", "sid", {"alpha": 2.0}),
        ("llava", "damro", {}),
        ("llava", "avisc", {"alpha": 2.0}),
        ("qwen2_5_vl", "avisc", {"alpha": 2.0}),
        ("llava", "causalmm", {}),
        ("qwen2_5_vl", "causalmm", {}),
        ("llava", "causalmm", {"variant": "official_code", "beta": 0.01}),
    ],
)
def test_some_cases_change_tokens(name: str, params: dict[str, Any], family: str) -> None:
    model = tiny(family)
    stock = said(model, "baseline")
    found = said(model, name, **params)
    assert found.shape != stock.shape or not torch.equal(found, stock)
