"""Methods that edit attention to the image next to plain loops: tokens, and logits of each step."""

from __future__ import annotations

from typing import Any

import pytest
from torch import Tensor

from halluc.interventions import Batch
from halluc.models import VisionLanguageModel
from tests.kit.asking import answer, prepared, questions
from tests.references.adaptvis import adaptvis
from tests.references.adhh import adhh
from tests.references.compare import FAMILIES, TOKENS, Reference, by, equal, tiny
from tests.references.hgai import hgai
from tests.references.pai import pai
from tests.references.vaf import vaf

CODE = "official_code"
EVERY = dict.fromkeys(range(4), (0, 1, 2, 3))


def by_vaf(model: VisionLanguageModel, batch: Batch, **params: Any) -> tuple[list[int], Tensor]:
    if "first_layer" in params:
        params["between"] = (params.pop("first_layer") - 1, params.pop("last_layer") + 1)
    return vaf(model.model, batch.inputs, n_tokens=TOKENS, **params)


CASES: list[tuple[str, Reference, dict[str, Any]]] = [
    ("pai", by(pai), {}),
    ("pai", by(pai), {"alpha": 4.0, "gamma": 3.0, "first_layer": 0}),
    ("pai", by(pai), {"alpha": 2.0, "gamma": 1.0}),
    ("pai", by(pai), {"variant": CODE}),
    ("pai", by(pai), {"variant": CODE, "alpha": 4.0, "gamma": 1.5, "first_layer": 0}),
    ("pai", by(pai), {"variant": CODE, "alpha": 4.0, "gamma": 1.0, "first_layer": 1}),
    ("vaf", by_vaf, {}),
    ("vaf", by_vaf, {"enhance": 4.0, "suppress": 0.1, "first_layer": 0, "last_layer": 3}),
    ("vaf", by_vaf, {"enhance": 1.0, "suppress": 5.0, "first_layer": 2, "last_layer": 2}),
    ("hgai", by(hgai), {}),
    ("hgai", by(hgai), {"alpha": 6.0, "first_layer": 1, "last_layer": 3}),
    ("adaptvis", by(adaptvis), {}),
    ("adaptvis", by(adaptvis), {"threshold": 0.0, "sharpen": 40.0}),
    ("adaptvis", by(adaptvis), {"threshold": 1.1, "smooth": 0.0}),
    ("adaptvis", by(adaptvis), {"variant": CODE}),
    ("adaptvis", by(adaptvis), {"variant": CODE, "weight": 5.0}),
    ("adhh", by(adhh), {"heads": EVERY}),
    ("adhh", by(adhh), {"heads": {1: (0, 3), 3: (2,)}, "threshold": 0.3}),
    ("adhh", by(adhh), {"heads": EVERY, "threshold": 0.0}),
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
    ("vaf", {"enhance": 4.0, "suppress": 0.1, "first_layer": 0, "last_layer": 3}),
    ("hgai", {"alpha": 6.0, "first_layer": 1, "last_layer": 3}),
    ("adaptvis", {"threshold": 0.0, "sharpen": 40.0}),
    ("adhh", {"heads": EVERY, "threshold": 0.3}),
]


@FAMILIES
@pytest.mark.parametrize(("name", "params"), STRONG)
def test_strong_parameters_change_tokens(name: str, params: dict[str, Any], family: str) -> None:
    model = tiny(family)
    batch = questions(model, 0)
    plain = answer(model, prepared("baseline", model), batch, tokens=TOKENS).tokens
    found = answer(model, prepared(name, model, **params), batch, tokens=TOKENS).tokens
    assert found.tolist() != plain.tolist()


@FAMILIES
def test_some_heads_and_rows_pass_the_default_threshold_and_some_do_not(family: str) -> None:
    model, cuts = tiny(family), list[bool]()
    adhh(model.model, questions(model, 0).inputs, heads=EVERY, n_tokens=TOKENS, cuts=cuts)
    assert set(cuts) == {True, False}
