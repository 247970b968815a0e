"""Contrasts with a view degraded inside the model, next to plain loops without an engine."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from halluc.models import VisionLanguageModel
from tests.kit.asking import answer, prepared, questions
from tests.references.compare import FAMILIES, TOKENS, Reference, by, equal, tiny
from tests.references.sid import sid

CASES: list[tuple[str, Reference, dict[str, Any]]] = [
    ("sid", by(sid), {}),
    ("sid", by(sid), {"alpha": 3.0, "beta": 0.01, "layer": 2, "share": 0.3}),
    ("sid", by(sid), {"alpha": 2.0, "variant": "official_code"}),
    ("sid", by(sid), {"alpha": 2.0, "variant": "official_code", "layer": 3, "share": 0.05}),
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


def said(model: VisionLanguageModel, name: str, **params: Any) -> Tensor:
    return answer(model, prepared(name, model, **params), questions(model, 0), tokens=TOKENS).tokens


@FAMILIES
@pytest.mark.parametrize(("name", "params"), [("sid", {"alpha": 2.0})])
def test_some_cases_change_tokens(name: str, params: dict[str, Any], family: str) -> None:
    model = tiny(family)
    stock = said(model, "baseline")
    found = said(model, name, **params)
    assert found.shape != stock.shape or not torch.equal(found, stock)
