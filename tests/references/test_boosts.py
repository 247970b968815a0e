"""Methods that edit attention to the image next to plain loops: tokens, and logits of each step."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kit.asking import answer, prepared, questions
from tests.references.compare import FAMILIES, TOKENS, Reference, by, equal, tiny
from tests.references.pai import pai

CODE = "official_code"
CASES: list[tuple[str, Reference, dict[str, Any]]] = [
    ("pai", by(pai), {}),
    ("pai", by(pai), {"alpha": 4.0, "gamma": 3.0, "first_layer": 0}),
    ("pai", by(pai), {"alpha": 2.0, "gamma": 1.0}),
    ("pai", by(pai), {"variant": CODE}),
    ("pai", by(pai), {"variant": CODE, "alpha": 4.0, "gamma": 1.5, "first_layer": 0}),
    ("pai", by(pai), {"variant": CODE, "alpha": 4.0, "gamma": 1.0, "first_layer": 1}),
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


STRONG: list[tuple[str, dict[str, Any]]] = [
    ("pai", {"alpha": 2.0, "gamma": 1.0}),
    ("pai", {"alpha": 4.0, "gamma": 3.0, "first_layer": 0}),
]


@FAMILIES
@pytest.mark.parametrize(("name", "params"), STRONG)
def test_strong_parameters_change_tokens(name: str, params: dict[str, Any], family: str) -> None:
    model = tiny(family)
    batch = questions(model, 0)
    plain = answer(model, prepared("baseline", model), batch, tokens=TOKENS).tokens
    found = answer(model, prepared(name, model, **params), batch, tokens=TOKENS).tokens
    assert found.tolist() != plain.tolist()
