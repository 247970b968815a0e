"""Methods that read or edit hidden states, next to plain loops that share no code with them."""

from __future__ import annotations

from typing import Any

import pytest
from torch import Tensor

from halluc.interventions import Batch
from halluc.models import VisionLanguageModel
from tests.kit.asking import prepared, questions
from tests.references.compare import FAMILIES, Reference, by, engine, equal, tiny
from tests.references.deco import deco
from tests.references.only import only
from tests.references.projectaway import projectaway
from tests.references.vista import vista


def by_deco(
    model: VisionLanguageModel, batch: Batch, *, layers: Any = None, **params: Any
) -> tuple[list[int], Tensor]:
    return by(deco)(model, batch, among_layers=layers, **params)


def by_vista(model: VisionLanguageModel, batch: Batch, **params: Any) -> tuple[list[int], Tensor]:
    return by(vista)(model, batch, without=model.without_image(batch.inputs), **params)


def by_projectaway(
    model: VisionLanguageModel, batch: Batch, **params: Any
) -> tuple[list[int], Tensor]:
    tokenizer = model.processor.tokenizer
    return by(projectaway)(model, batch, tokenizer=tokenizer, **params)


CASES: list[tuple[str, Reference, dict[str, Any]]] = [
    ("deco", by_deco, {}),
    ("deco", by_deco, {"layers": (0, 1, 2, 3), "alpha": 3.0}),
    ("deco", by_deco, {"layers": (1, 3), "alpha": 20.0, "top_p": 1.0, "top_k": 7}),
    ("only", by(only), {}),
    ("only", by(only), {"gamma": 2.0, "collaborate": 5.0, "beta": 0.0}),
    ("only", by(only), {"gamma": 0.7, "contrast": 2.0, "beta": 0.01}),
    ("vista", by_vista, {}),
    ("vista", by_vista, {"variant": "official_code"}),
    ("vista", by_vista, {"strength": 2.0, "gamma": 0.6, "window": 2}),
    ("vista", by_vista, {"strength": 2.0, "gamma": 0.6, "variant": "official_code"}),
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
    ("deco", {"layers": (1, 3), "alpha": 20.0, "top_p": 1.0, "top_k": 7}),
    ("only", {"gamma": 2.0, "collaborate": 5.0, "beta": 0.0}),
    ("only", {"gamma": 0.7, "contrast": 2.0, "beta": 0.01}),
    ("vista", {"strength": 2.0, "gamma": 0.6, "window": 2}),
    ("vista", {"strength": 2.0, "gamma": 0.6, "variant": "official_code"}),
]


@FAMILIES
@pytest.mark.parametrize(("name", "params"), STRONG)
def test_strong_parameters_change_tokens(
    name: str, params: dict[str, Any], family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cases above would prove little if all methods said what the model says."""
    model = tiny(family)
    batch = questions(model, 0)
    plain, _ = engine(model, prepared("baseline", model), batch, monkeypatch)
    assert engine(model, prepared(name, model, **params), batch, monkeypatch)[0] != plain


@FAMILIES
def test_only_joins_in_both_ways(family: str) -> None:
    """The case of gamma 0.7 above goes through both branches."""
    model, distances = tiny(family), list[float]()
    by(only)(model, questions(model, 0), gamma=0.7, contrast=2.0, beta=0.01, distances=distances)
    assert min(distances) < 0.7 <= max(distances), distances


NAMED = ("dog", "cat", "car", "image", "this", "there", "please", "yes", "no", "is", "in", "a")
SEEDS = {"llava": 3, "qwen2_5_vl": 5}
"""Of models whose drafts name several words."""
SHORT: dict[str, Any] = {"objects": NAMED, "draft_tokens": 24}
GONE: dict[str, Any] = SHORT | {"threshold": 1.0, "weight": 20.0, "image_layer": 2}


@FAMILIES
@pytest.mark.parametrize(
    "params",
    [
        SHORT,
        SHORT | {"variant": "official_code"},
        GONE,
        GONE | {"variant": "official_code", "weight": 3.0},
        GONE | {"draft_tokens": 128},
        GONE | {"text_layer": 0, "image_layer": 3},
        GONE | {"text_layer": 3, "image_layer": 0},
    ],
)
def test_what_drafts_name_is_projected_away(
    params: dict[str, Any], family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny(family, SEEDS[family])
    equal(model, "projectaway", by_projectaway, params, monkeypatch)


@FAMILIES
@pytest.mark.parametrize("variant", ["paper", "official_code"])
def test_a_threshold_tells_objects_apart(
    variant: str, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, found = tiny(family, SEEDS[family]), dict[str, float]()
    batch, params = questions(model, 0), GONE | {"variant": variant}
    by_projectaway(model, batch, found=found, **params)
    least, next_to = sorted(found.values())[:2]
    equal(
        model, "projectaway", by_projectaway,
        params | {"threshold": (least + next_to) / 2}, monkeypatch,
    )  # fmt: skip


@FAMILIES
def test_projecting_away_changes_tokens(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny(family, SEEDS[family])
    batch = questions(model, 0)
    plain, _ = engine(model, prepared("baseline", model), batch, monkeypatch)
    assert engine(model, prepared("projectaway", model, **GONE), batch, monkeypatch)[0] != plain
