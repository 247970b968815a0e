"""VAR against its published code's numbers, hand-computed numbers, and a planted sink."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from halluc.interventions import At
from halluc.methods._sinks import redistribute, sink_tokens
from halluc.methods.var import VAR
from tests.kit.asking import logits_after
from tests.kit.families import llava, prompts

SETTINGS: dict[str, Any] = {"keep": 0.6, "rho": 0.5, "min_image_mass": 0.2}


def test_published_code_gives_the_same(shared: Path) -> None:
    golden = np.load(shared / "golden/methods/var_official_1.npz")
    hidden, attention = (torch.from_numpy(golden[name]) for name in ("hidden", "attention"))
    sinks = sink_tokens(hidden, tuple(golden["dims"].tolist()), float(golden["tau"]))
    assert sinks[0].nonzero()[:, 0].tolist() == golden["sinks"].tolist()
    start, length = int(golden["image_start"]), int(golden["image_len"])
    columns = torch.zeros(1, attention.shape[-1], dtype=torch.bool)
    columns[:, start : start + length] = True
    rows = torch.zeros(1, attention.shape[-2], dtype=torch.bool)
    rows[:, start + length :] = True
    out = redistribute(
        attention, sinks, columns, rows,
        keep=float(golden["keep"]), rho=float(golden["rho"]),
        min_image_mass=float(golden["min_image_mass"]),
    )  # fmt: skip
    expected = torch.from_numpy(golden["out"])
    assert (out - expected).abs().max() < 1e-6
    edited = ((out - attention).abs().amax(-1) > 1e-7).sum()
    assert int(edited) == int(golden["n_edited"])


def one_row(*weights: float) -> Tensor:
    return torch.tensor(weights).view(1, 1, 1, -1)


SINKS = torch.tensor([[True, True, False, False, False]])
IMAGE = torch.tensor([[False, True, True, True, False]])
ROW = torch.ones(1, 1, dtype=torch.bool)


def test_hand_computed_row() -> None:
    # Sinks hold .3 + .1; 40% of that is .16, shared 1:3 among the image tokens that hold .1 and .3.
    out = redistribute(one_row(0.3, 0.1, 0.1, 0.3, 0.2), SINKS, IMAGE, ROW, **SETTINGS)
    assert out.flatten().tolist() == pytest.approx([0.18, 0.06, 0.14, 0.42, 0.2], abs=1e-6)


@pytest.mark.parametrize(
    ("weights", "why"),
    [
        ((0.3, 0.3, 0.1, 0.1, 0.2), "the visual sink holds .6 of the image's share"),
        ((0.7, 0.05, 0.05, 0.05, 0.15), "the head gives the image .15"),
    ],
)
def test_heads_that_do_not_look_are_left_alone(weights: tuple[float, ...], why: str) -> None:
    row = one_row(*weights)
    assert torch.equal(redistribute(row, SINKS, IMAGE, ROW, **SETTINGS), row), why


def test_rows_not_asked_for_and_full_keep_change_nothing() -> None:
    row = one_row(0.3, 0.1, 0.1, 0.3, 0.2)
    assert torch.equal(redistribute(row, SINKS, IMAGE, ~ROW, **SETTINGS), row)
    assert torch.allclose(redistribute(row, SINKS, IMAGE, ROW, **SETTINGS | {"keep": 1.0}), row)


def test_without_a_visual_sink_paper_and_code_differ() -> None:
    row, sinks = (
        one_row(0.3, 0.1, 0.1, 0.3, 0.2),
        torch.tensor([[True, False, False, False, False]]),
    )
    assert torch.equal(redistribute(row, sinks, IMAGE, ROW, **SETTINGS), row)
    out = redistribute(row, sinks, IMAGE, ROW, **SETTINGS, without_visual_sinks=True)
    assert out.flatten().tolist() == pytest.approx([0.18, 0.124, 0.124, 0.372, 0.2], abs=1e-6)


def test_an_image_of_sinks_alone_is_no_division_by_zero() -> None:
    row = one_row(0.3, 0.3, 0.1, 0.1, 0.2)
    settings = SETTINGS | {"rho": 1.0}
    assert torch.equal(redistribute(row, IMAGE | SINKS, IMAGE, ROW, **settings), row)


@pytest.mark.parametrize("seed", range(5))
def test_row_sums_stay_one_on_random_batches(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    attention = torch.rand(3, 4, 5, 12, generator=draw).softmax(-1)
    sinks, image = (torch.rand(3, 12, generator=draw) < p for p in (0.3, 0.6))
    rows = torch.rand(3, 5, generator=draw) < 0.7
    out = redistribute(attention, sinks, image, rows, keep=0.4, rho=0.6, min_image_mass=0.1)
    assert torch.allclose(out.sum(-1), torch.ones(3, 4, 5), atol=1e-6)
    for one in range(3):
        pick = slice(one, one + 1)
        alone = redistribute(
            attention[pick], sinks[pick], image[pick], rows[pick],
            keep=0.4, rho=0.6, min_image_mass=0.1,
        )  # fmt: skip
        assert torch.allclose(out[pick], alone, atol=1e-7)


class Watched(VAR):
    """VAR that remembers the attention it was given and what it made of it."""

    seen: list[tuple[At, Tensor, Tensor]]

    def attention_weights(self, at: At, weights: Tensor) -> Tensor:
        out = super().attention_weights(at, weights)
        self.seen.append((at, weights, out))
        return out


def test_a_planted_sink_loses_its_attention_to_the_image() -> None:
    model = llava()
    dim, patch = 7, 3
    text = model.model.base_model.language_model
    with torch.no_grad():
        text.embed_tokens.weight[model.processor.tokenizer.bos_token_id, dim] = 40.0

    def plant(_: Any, __: Any, features: Tensor) -> Tensor:
        features = features.clone()
        features[:, patch, dim] = 40.0
        return features

    model.model.base_model.multi_modal_projector.register_forward_hook(plant)
    inputs = prompts(model, "is there a dog ?", "describe this image please")
    params = VAR.Params(
        keep=0.4, rho=1.0, min_image_mass=0.0, tau=4.0, sink_dims=(dim,), variant="official_code"
    )
    method = Watched(params)
    method.seen = []
    edited = logits_after(model, method, inputs)
    with torch.inference_mode():
        stock = model.model(**inputs).logits[:, -1]
    at, before, after = method.seen[0]
    sinks = at.remembered
    first = inputs["attention_mask"].int().argmax(1)
    for row in range(2):
        image = at.image_columns[row].nonzero()[:, 0]
        assert sinks[row].nonzero()[:, 0].tolist() == sorted([int(first[row]), int(image[patch])])
        last = before[row, :, -1], after[row, :, -1]
        held = [w[:, sinks[row]].sum(-1) for w in last]
        free = [w[:, image].sum(-1) - w[:, image[patch]] for w in last]
        assert torch.allclose(held[1], 0.4 * held[0], atol=1e-5)
        assert torch.allclose(free[1] - free[0], 0.6 * held[0], atol=1e-5)
        assert held[0].mean() > 0.01
    assert (edited - stock).abs().max() > 1e-3
