"""VISTA: both ways of steering and the window by hand, what is steered, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from halluc.errors import UserError
from halluc.methods._steering import pulled, turned_further
from halluc.methods.vista import VISTA, Steering
from tests.kit.asking import answer, prepared, questions
from tests.kit.families import build, llava


def one(*values: float) -> Tensor:
    """A state or a vector [1, 1, D]."""
    return torch.tensor([[values]])


def test_pulling_by_hand() -> None:
    # (3, 4) + .5 (0, 2) = (3, 5), of length 5.830952, made as long as (3, 4)
    found = pulled(one(3.0, 4.0), one(0.0, 2.0), 0.5)
    assert found.flatten().tolist() == pytest.approx([2.572479, 4.287465], abs=1e-5)
    assert torch.equal(pulled(one(3.0, 4.0), one(0.0, 0.0), 0.5), one(3.0, 4.0))
    assert pulled(one(3.0, 4.0).bfloat16(), one(0.0, 2.0), 0.5).dtype == torch.bfloat16


def test_turning_by_hand() -> None:
    # Unit (.6, .8), cosine to -v -.8: no further. (.6, .8) + .5 (0, 1), of length 1.431782
    found = turned_further(one(3.0, 4.0), one(0.0, 2.0), 0.5)
    assert found.flatten().tolist() == pytest.approx([2.095291, 4.539797], abs=1e-5)
    # It points away by .8: (.6, .8) + .5 * 1.8 (0, -1) = (.6, -.1), of length .608276
    found = turned_further(one(3.0, 4.0), one(0.0, -2.0), 0.5)
    assert found.flatten().tolist() == pytest.approx([4.931970, -0.821995], abs=1e-5)


@pytest.mark.parametrize(
    ("variant", "window", "normed"), [("paper", 2, True), ("official_code", 1, False)]
)
def test_the_window_by_hand(variant: Any, window: int, normed: bool) -> None:
    early = {2: torch.tensor([[1.0, 4.0]]), 3: torch.tensor([[3.0, 0.0]])}
    read: list[tuple[int, bool]] = []

    def early_logits(layer: int, normed: bool = True) -> Mapping[str, Tensor]:
        read.append((layer, normed))
        return {"main": early[layer]}

    at: Any = SimpleNamespace(early=early_logits, n_layers=4)
    vista = VISTA(VISTA.Params(variant=variant, window=window, gamma=0.25))
    found = vista.next_token_logits(at, {"main": torch.tensor([[8.0, 0.0]])})
    # Of both the mean is (2, 2): .25 * 2 + .75 * 8 = 6.5 and .5; of the last .75 + 6 and 0.
    expected = [6.5, 0.5] if window == 2 else [6.75, 0.0]
    assert found.tolist() == [expected]
    assert read == [(2, normed), (3, normed)][-window:]


@pytest.mark.parametrize(("variant", "window"), [("paper", 5), ("official_code", 6)])
def test_defaults(variant: Any, window: int) -> None:
    def resolved(n_layers: int) -> Any:
        return VISTA.resolve(VISTA.Params(variant=variant), llava(num_hidden_layers=n_layers))

    params = resolved(32)
    assert (params.strength, params.gamma, params.window) == (0.17, 0.3, window)
    # The penultimate of 32 layers is number 30, which hidden state 31 leaves.
    assert VISTA(params).early_layers(32) == range(32 - window, 32)
    assert resolved(4).window == resolved(8).window == 1
    assert VISTA.Params().variant == "paper"


def test_a_window_of_more_layers_than_there_are_is_refused() -> None:
    assert prepared("vista", llava(), window=3)
    with pytest.raises(UserError, match="window is 4 layers before the last; 'tiny-llava' has 3"):
        prepared("vista", llava(), window=4)


def test_layers_without_networks_are_refused_by_the_code_only() -> None:
    model = build("blip_2")  # OPT's networks are no modules of their own
    assert prepared("vista", model)
    with pytest.raises(UserError, match="method 'vista' turns what feed-forward networks give"):
        prepared("vista", model, variant="official_code")


@pytest.mark.parametrize("variant", ["paper", "official_code"])
def test_two_passes_more_than_tokens(variant: str) -> None:
    model = llava()
    made = answer(model, prepared("vista", model, variant=variant), questions(model, 0, 1))
    plain = answer(model, prepared("baseline", model), questions(model, 0, 1))
    assert made.tokens.shape == plain.tokens.shape
    assert made.passes == [count + 2 for count in plain.passes]


def test_vectors_are_what_the_image_changes() -> None:
    """Each row's own, fp32, behind each layer, and repeated for its beams."""
    state, vista = Steering(), VISTA(VISTA.Params(strength=1.0))
    seen = {0: torch.zeros(2, 3), 1: torch.ones(2, 3), 2: torch.tensor([[5.0] * 3, [6.0] * 3])}
    unseen = {0: torch.zeros(2, 3), 1: torch.zeros(2, 3), 2: torch.ones(2, 3)}

    def forward(inputs: Any) -> Tensor:
        assert inputs == {"below each other": ({"image": 1}, {})}
        for layer in seen:
            last = torch.cat([seen[layer], unseen[layer]])
            padded = torch.stack([torch.full_like(last, 9.0), last], 1)
            vista.hidden(SimpleNamespace(state=state, layer=layer), padded)  # type: ignore[arg-type]
        return torch.zeros(2, 4)

    model = SimpleNamespace(
        without_image=lambda inputs: {}, stacked=lambda *views: {"below each other": views}
    )
    at_first: Any = SimpleNamespace(state=state, model=model)
    vista.prepare(at_first, {"image": 1}, forward)
    assert state.reading is None
    assert torch.equal(state.vectors[0], torch.ones(2, 3))
    assert torch.equal(state.vectors[1], torch.tensor([[4.0] * 3, [5.0] * 3]))
    at: Any = SimpleNamespace(state=state, layer=2, repeats=2)
    rows = torch.tensor([[1.0, 0.0, 0.0]]).repeat(4, 1)[:, None]
    found = vista.hidden(at, rows)
    assert found is not None
    # (1, 0, 0) + (4, 4, 4) = (5, 4, 4), of length sqrt 57; then (6, 5, 5), of length sqrt 86
    expected = [5 / 57**0.5] * 2 + [6 / 86**0.5] * 2
    assert found[:, 0, 0].tolist() == pytest.approx(expected)


def test_the_code_adds_the_first_dimension_to_the_first_layer_s_vector() -> None:
    model, batch = llava(), questions(llava(), 0)
    found: list[list[Tensor]] = []

    class Kept(VISTA):
        def prepare(self, at: Any, inputs: Any, forward: Any) -> None:
            super().prepare(at, inputs, forward)
            found.append(list(at.state.vectors.values()))

    for variant in ("paper", "official_code"):
        answer(model, Kept(VISTA.for_model(model, {"variant": variant}).params), batch)
    more = [code - paper for paper, code in zip(*found, strict=True)]
    first = torch.zeros_like(more[0])
    first[:, 0] = 1
    assert torch.allclose(more[0], first, atol=1e-6)
    assert not any(one.abs().max() > 1e-6 for one in more[1:])


@pytest.mark.parametrize("variant", ["paper", "official_code"])
def test_parts_of_it_act_alone(variant: str) -> None:
    model, batch = llava(), questions(llava(), 0)
    plain = answer(model, prepared("baseline", model), batch).logits
    for params in ({"strength": 0.0}, {"gamma": 0.0}):
        found = answer(model, prepared("vista", model, variant=variant, **params), batch).logits
        assert float((found - plain).abs().max()) > 1e-3
