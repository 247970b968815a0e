"""The engine next to plain loops that share no code with it: tokens, and the logits of each step.

The loops read the whole sequence again for every token, one question at a time, without a cache.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from torch import Tensor

from halluc.interventions import Batch
from halluc.methods.vcd import normal_noise
from halluc.models import VisionLanguageModel
from tests.kit.asking import questions
from tests.references.apc import apc
from tests.references.compare import FAMILIES, TOKENS, Reference, by, equal, tiny
from tests.references.dola import dola
from tests.references.memvr import memvr
from tests.references.olm import olm
from tests.references.pba import FORMAT, pba
from tests.references.vcd import vcd


def by_vcd(model: VisionLanguageModel, batch: Batch, **params: Any) -> tuple[list[int], Tensor]:
    paper = params.get("variant", "paper") == "paper"
    seed = (batch.image_seeds if paper else batch.seeds)[0]
    frames = 2 if "image_grid_thw" in batch.inputs else 1
    noise = normal_noise(batch.inputs["pixel_values"].shape, seed, frames)
    return vcd(model.model, batch.inputs, noise=noise, n_tokens=TOKENS, **params)


def by_olm(model: VisionLanguageModel, batch: Batch, **params: Any) -> tuple[list[int], Tensor]:
    yes, no = (model.processor.tokenizer.convert_tokens_to_ids(word) for word in ("Yes", "No"))
    return olm(model.model, batch.inputs, yes=yes, no=no, n_tokens=TOKENS, **params)


def by_pba(model: VisionLanguageModel, batch: Batch, **params: Any) -> tuple[list[int], Tensor]:
    def encode(prompt: str) -> Any:
        return model.encode([model.render(prompt)], batch.images)

    (prompt,) = batch.prompts
    return pba(model.model, encode, prompt.removesuffix(FORMAT), n_tokens=TOKENS, **params)


def by_dola(
    model: VisionLanguageModel, batch: Batch, *, layers: Any = None, **params: Any
) -> tuple[list[int], Tensor]:
    inputs = batch.inputs
    return dola(model.model, inputs, early_layers=layers, n_tokens=TOKENS, **params)


def by_memvr(model: VisionLanguageModel, batch: Batch, **params: Any) -> tuple[list[int], Tensor]:
    if "first_layer" in params:
        params["between"] = (params.pop("first_layer") - 1, params.pop("last_layer") + 1)
    return memvr(model.model, batch.inputs, n_tokens=TOKENS, **params)


CASES: list[tuple[str, Reference, dict[str, Any]]] = [
    ("vcd", by_vcd, {}),
    ("vcd", by_vcd, {"variant": "official_code", "step": 999, "alpha": 2.0}),
    ("vcd", by_vcd, {"beta": 0.7, "step": 0}),
    ("apc", by(apc), {}),
    ("apc", by(apc), {"beta": 0.6}),
    ("olm", by_olm, {}),
    ("olm", by_olm, {"mass": 1e-4, "gap": 0.5}),
    ("olm", by_olm, {"mass": 0.01, "variant": "official_code"}),
    ("olm", by_olm, {"mass": 1e-3, "gap": 0.01, "variant": "official_code"}),
    ("pba", by_pba, {}),
    ("dola", by_dola, {}),
    ("dola", by_dola, {"bucket": "high", "relative_top": 0.5}),
    ("dola", by_dola, {"layers": (0, 1, 2, 3)}),
    ("dola", by_dola, {"layers": (0, 1, 2, 3), "variant": "official_code"}),
    ("memvr", by_memvr, {"variant": "official_code"}),
    (
        "memvr",
        by_memvr,
        {
            "first_layer": 0,
            "last_layer": 2,
            "threshold": 0.9,
            "ratio": 0.5,
            "variant": "official_code",
        },
    ),
    ("memvr", by_memvr, {"first_layer": 0, "last_layer": 2, "threshold": 0.94, "variant": "paper"}),
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
    model = tiny(family)
    batch = questions(model, 0)
    if name == "pba":  # as the benchmark of the code asks
        batch = replace(batch, prompts=[batch.prompts[0] + FORMAT])
    equal(model, name, reference, params, monkeypatch, batch)
