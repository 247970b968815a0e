"""Nullu: the projection by hand, and that only the named weights change, and for a batch only."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from halluc.calibration import demonstrations
from halluc.config import DecodingConfig
from halluc.decoding.generation import generate
from halluc.errors import UserError
from halluc.interventions import BatchState
from halluc.interventions.compose import find
from halluc.interventions.engine import intervene
from halluc.methods.nullu import Nullu, projected
from halluc.models import VisionLanguageModel
from tests.kit.asking import answer, logits_after, prepared, questions
from tests.kit.demonstrations import in_known_words
from tests.kit.families import build


@pytest.fixture(autouse=True)
def known_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demonstrations, "drawn_demonstrations", in_known_words)


@cache
def model(family: str = "llava") -> VisionLanguageModel:
    return build(family)


def test_projections_by_hand() -> None:
    weight = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    out = projected(weight, torch.tensor([[1.0, 0.0]]))
    assert torch.equal(out, torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
    out = projected(torch.eye(2), torch.tensor([[0.6, 0.8]]))
    assert torch.allclose(out, torch.tensor([[0.64, -0.48], [-0.48, 0.36]]))


def test_a_projection_removes_the_span_and_nothing_else() -> None:
    draw = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(6, 6, generator=draw)).Q.T
    weight = torch.randn(6, 9, generator=draw)
    out = projected(weight, basis[:2])
    assert (basis[:2] @ out).abs().max() < 1e-6
    assert torch.allclose(basis[2:] @ out, basis[2:] @ weight, atol=1e-5)


def test_half_precision_is_projected_in_full_and_rounded_last() -> None:
    draw = torch.Generator().manual_seed(0)
    weight = torch.randn(8, 8, generator=draw).half()
    space = torch.linalg.qr(torch.randn(8, 2, generator=draw)).Q.T
    out = projected(weight, space)
    assert out.dtype == torch.float16
    assert torch.equal(out, projected(weight.float(), space).half())


def test_defaults_are_the_upper_half_and_rank_four() -> None:
    params: Any = Nullu.resolve(Nullu.Params(), model())
    assert (params.first_layer, params.last_layer, params.rank) == (2, 3, 4)
    assert (params.variant, params.demos) == ("paper", 16)
    edited = prepared("nullu", model(), demos=5).weights(model())
    assert sorted(edited) == [
        f"model.language_model.layers.{layer}.mlp.down_proj.weight" for layer in (2, 3)
    ]


@pytest.mark.parametrize("raises", [False, True])
def test_only_the_named_weights_change_and_come_back_bit_for_bit(raises: bool) -> None:
    one = model()
    method = prepared("nullu", one, demos=5, first_layer=1, last_layer=2)
    inputs = questions(one, 0).inputs
    parameters = dict(one.model.named_parameters())
    before = {name: value.detach().clone() for name, value in parameters.items()}
    places = {name: value.data_ptr() for name, value in parameters.items()}
    try:
        with intervene(one, method, BatchState.of_inputs(one, inputs)):
            changed = {n for n, value in parameters.items() if not torch.equal(value, before[n])}
            if raises:
                raise KeyError
    except KeyError:
        pass
    assert changed == {
        f"model.language_model.layers.{layer}.mlp.down_proj.weight" for layer in (1, 2)
    }
    assert all(torch.equal(value, before[name]) for name, value in parameters.items())
    assert {name: value.data_ptr() for name, value in parameters.items()} == places


def test_edited_weights_are_made_once() -> None:
    method = prepared("nullu", model(), demos=5)
    first, again = method.weights(model()), method.weights(model())
    assert all(first[name] is again[name] for name in first)


def test_it_answers_otherwise_and_variants_differ() -> None:
    inputs = questions(model(), 0).inputs
    stock = logits_after(model(), prepared("baseline", model()), inputs)
    found = [
        logits_after(model(), prepared("nullu", model(), demos=5, variant=name), inputs)
        for name in ("paper", "official_code")
    ]
    assert all((one - stock).abs().max() > 1e-3 for one in found)
    assert (found[0] - found[1]).abs().max() > 1e-4


def test_directions_come_from_a_file(tmp_path: Path) -> None:
    space = torch.zeros(4, 5, 32)
    space[:, range(5), range(5)] = 1
    save_file({"paper.space": space}, tmp_path / "v")
    method: Any = prepared("nullu", model(), vectors=str(tmp_path / "v"), rank=3)
    assert method.params.vectors_hash
    for value in method.weights(model()).values():
        assert (value[:3] == 0).all()
        assert (value[3:] != 0).all()
    with pytest.raises(UserError, match="rank 6 is more than the 5 directions"):
        prepared("nullu", model(), vectors=str(tmp_path / "v"), rank=6)


def test_a_prefix_is_shared_between_questions_and_not_between_settings() -> None:
    one = prepared("nullu", model(), demos=5)
    assert one.prefix_depends_on == "method"
    assert one.prefix_key() == prepared("nullu", model(), demos=5).prefix_key()
    assert one.prefix_key() != prepared("nullu", model(), demos=5, rank=2).prefix_key()


def test_rank_needs_as_many_demonstrations() -> None:
    with pytest.raises(UserError, match="rank 4 is more than the 3 directions"):
        prepared("nullu", model(), demos=3)


def test_networks_without_one_down_projection_are_refused_by_name() -> None:
    one = model("qwen3_vl_moe")
    with pytest.raises(UserError, match=r"'nullu' edits down projections.*layer 2 of 'tiny-qwen3"):
        prepared("nullu", one)
    assert prepared("nullu", model("blip_2"), demos=5).weights(model("blip_2"))


def test_quantised_and_offloaded_weights_are_refused_by_name() -> None:
    config = build("llava").model.config
    config.quantization_config = {"quant_method": "bitsandbytes"}
    with pytest.raises(UserError, match="'nullu' edits weights, and those of 'm' are quantised"):
        Nullu.requires(Nullu.Params(), config, "m")
    far = build("llava")
    layer: Any = far.layers[3]
    layer.mlp.down_proj.to("meta")
    with pytest.raises(UserError, match="layer 3 of 'tiny-llava' is not found, is quantised or is"):
        Nullu.resolve(Nullu.Params(), far)


def test_layers_the_model_lacks_are_refused() -> None:
    with pytest.raises(UserError, match="first_layer 2 to last_layer 4"):
        prepared("nullu", model(), last_layer=4)


def test_var_next_to_nullu() -> None:
    both = answer(
        model(), prepared("nullu+var", model(), **{"nullu.demos": 5}), questions(model(), 0)
    )
    nothing = {"nullu.rank": 0, "nullu.demos": 5}
    resting = answer(model(), prepared("nullu+var", model(), **nothing), questions(model(), 0))
    alone = answer(model(), prepared("var", model()), questions(model(), 0))
    assert torch.allclose(resting.logits, alone.logits, atol=1e-5)
    assert (both.logits - alone.logits).abs().max() > 1e-3
    assert find("nullu+vti")


def test_generated_tokens_are_read_with_edited_weights() -> None:
    one = model()
    method = prepared("nullu", one, demos=5)
    seen: list[bool] = []
    down: Any = one.layers[3].mlp.down_proj  # type: ignore[union-attr]
    own = down.weight.detach().clone()
    handle = down.register_forward_hook(lambda *_: seen.append(not torch.equal(down.weight, own)))
    try:
        generate(one, method, questions(one, 0), DecodingConfig(), max_new_tokens=3)
    finally:
        handle.remove()
    assert len(seen) >= 2
    assert all(seen)
