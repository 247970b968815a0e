"""VTI: both edits by hand, and that they reach every layer and token of both towers."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from halluc.calibration import demonstrations
from halluc.errors import UserError
from halluc.interventions import At, BatchState, Method
from halluc.interventions.compose import find
from halluc.interventions.engine import intervene
from halluc.methods.vti import VTI, shifted, turned
from halluc.models import VisionLanguageModel
from halluc.testing import batch_of_questions, reply
from tests.kit.asking import answer, logits_after, prepared, questions
from tests.kit.demonstrations import in_known_words
from tests.kit.families import build

each_variant = pytest.mark.parametrize("variant", ["paper", "official_code"])


@pytest.fixture(autouse=True)
def known_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demonstrations, "drawn_demonstrations", in_known_words)


@cache
def model(family: str = "llava") -> VisionLanguageModel:
    return build(family)


def entering(method: Method) -> dict[str, list[Tensor]]:
    """Read what enters each layer but the first, and what leaves the last, of both towers."""
    one, inputs = model(), questions(model(), 0).inputs
    found: dict[str, list[Tensor]] = {"vision": [], "text": []}

    def keep(part: str, states: Any) -> None:
        found[part].append(states[0] if isinstance(states, tuple) else states)

    with torch.no_grad(), intervene(one, method, BatchState.of_inputs(one, inputs)):
        handles = [one.tower.layers[-1].register_forward_hook(lambda _m, _i, o: keep("vision", o))]
        for part, modules in (
            ("vision", one.tower.layers[1:]), ("text", [*one.layers[1:], one.final_norm])
        ):  # fmt: skip
            for module in modules:
                hook = module.register_forward_pre_hook(lambda _m, i, part=part: keep(part, i))
                handles.append(hook)
        try:
            one.model(**inputs)
        finally:
            for handle in handles:
                handle.remove()
    return found


def features(method: Method, family: str = "llava") -> Tensor:
    one = model(family)
    inputs = questions(one, 0).inputs
    with torch.no_grad(), intervene(one, method, BatchState.of_inputs(one, inputs)):
        return torch.cat(list(one.encode_images(inputs).pooler_output))


def with_vectors(file: Path, one: VisionLanguageModel, tokens: int = 17, **params: Any) -> Method:
    """Prepare VTI with random directions for both variants."""
    draw = torch.Generator().manual_seed(0)
    text = torch.randn(one.n_layers, 1, 32, generator=draw)
    vision = torch.randn(len(one.tower.layers), tokens, 32, generator=draw)
    both = {"paper": 1.0, "official_code": -1.0}
    held = {f"{name}.text": sign * text for name, sign in both.items()}
    held |= {f"{name}.vision": sign * vision for name, sign in both.items()}
    save_file(held, file)
    return prepared("vti", one, vectors=str(file), **params)


# -- Numbers ---------------------------------------------------------------------------------------


def test_a_turn_by_hand() -> None:
    x, direction = torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 2.0]])
    # unit(.6, .8 + .1) * 5
    assert torch.allclose(turned(x, direction, 1.0), torch.tensor([[2.7735, 4.1603]]), atol=1e-4)
    assert torch.allclose(turned(x, direction, 5.0).norm(), torch.tensor(5.0))


def test_a_shift_by_hand() -> None:
    x, direction = torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 2.0]])
    assert torch.equal(shifted(x, direction, 0.5), torch.tensor([[3.0, 4.5]]))


@pytest.mark.parametrize("edit", [shifted, turned])
def test_a_direction_of_zeros_leaves_states_alone(edit: Any) -> None:
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    assert torch.allclose(edit(x, torch.zeros(1, 2), 1.0), x)


def test_half_precision_is_edited_in_full_and_given_back() -> None:
    x = torch.full((1, 8), 100.0, dtype=torch.float16)
    out = turned(x, torch.eye(8)[:1], 1.0)
    assert out.dtype == torch.float16
    assert torch.isfinite(out).all()
    assert abs(float(out.float().norm()) - 800**0.5 * 10) < 1


# -- Parameters ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("variant", "alpha"), [("paper", 0.4), ("official_code", 0.9)])
def test_strengths_are_the_variants_own(variant: Any, alpha: float) -> None:
    params: Any = VTI.resolve(VTI.Params(variant=variant), model())
    assert (params.alpha_text, params.alpha_image) == (alpha, alpha)
    params = VTI.resolve(VTI.Params(variant=variant, alpha_text=0, alpha_image=2), model())
    assert (params.alpha_text, params.alpha_image) == (0, 2)
    assert (params.demos, params.copies, params.mask_ratio) == (16, 10, 0.99)
    assert VTI.Params().variant == "paper"


@each_variant
def test_layers_are_within_reach(variant: Any) -> None:
    layers = VTI(VTI.Params(variant=variant)).layers(4)
    assert list(layers) == ([1, 2, 3, 4] if variant == "paper" else [0, 1, 2, 3])


def test_a_model_without_networks_to_hook_is_refused_by_name() -> None:
    with pytest.raises(
        UserError, match=r"'vti' edits what feed-forward networks give.*tiny-blip_2"
    ):
        prepared("vti", model("blip_2"), variant="official_code")
    one = model("blip_2")
    assert answer(one, prepared("vti", one, demos=2), questions(one, 0)).passes


# -- Where it acts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["text", "vision"])
def test_paper_shifts_every_token_of_every_layer(part: str, tmp_path: Path) -> None:
    alphas: dict[str, Any] = {
        "alpha_text": 0.0,
        "alpha_image": 0.0,
        f"alpha_{'image' if part == 'vision' else part}": 0.5,
    }
    method: Any = with_vectors(tmp_path / "v", model(), **alphas)
    stock, moved = entering(prepared("baseline", model()))[part], entering(method)[part]
    units = [of / of.norm(dim=-1, keepdim=True) for of in method._directions[part]]
    assert torch.allclose(moved[0], stock[0] + 0.5 * units[0], atol=1e-5)
    assert len(moved) == len(units) == (4 if part == "text" else 3)
    # Later layers have read what was moved before; each is moved in its own direction, too.
    for layer in range(1, len(units)):
        kept = method._directions[part][layer].clone()
        method._directions[part][layer] = 0
        without = entering(method)[part][layer]
        method._directions[part][layer] = kept
        assert torch.allclose(moved[layer], without + 0.5 * units[layer], atol=1e-5)


@each_variant
@pytest.mark.parametrize(("family", "tokens"), [("llava", 17), ("qwen2_5_vl", 1)])
def test_the_vision_tower_is_steered_and_restored(
    variant: str, family: str, tokens: int, tmp_path: Path
) -> None:
    one = model(family)
    file = tmp_path / "v.safetensors"
    stock = features(prepared("baseline", one), family)
    method = with_vectors(file, one, tokens, variant=variant, alpha_text=0, alpha_image=2)
    steered = features(method, family)
    assert (steered - stock).abs().amax(-1).min() > 1e-3  # every token
    assert torch.equal(features(prepared("baseline", one), family), stock)
    untouched = with_vectors(file, one, tokens, variant=variant, alpha_text=2, alpha_image=0)
    assert not untouched.in_vision_tower
    assert torch.equal(features(untouched, family), stock)


def test_pictures_of_another_number_of_tokens_get_the_mean_direction(tmp_path: Path) -> None:
    one, settings = model(), {"alpha_text": 0.0, "alpha_image": 2.0}
    other: Any = with_vectors(tmp_path / "a", one, 5, **settings)
    mean: Any = with_vectors(tmp_path / "b", one, 1, **settings)
    mean._directions = {
        "text": other._directions["text"],
        "vision": other._directions["vision"].mean(1, keepdim=True),
    }
    assert torch.equal(features(other), features(mean))


def test_variants_differ(tmp_path: Path) -> None:
    found = [
        logits_after(
            model(), prepared("vti", model(), variant=name, demos=4), questions(model(), 0).inputs
        )
        for name in ("paper", "official_code")
    ]
    assert (found[0] - found[1]).abs().max() > 1e-3


@each_variant
def test_generated_tokens_are_moved_too(variant: str, tmp_path: Path) -> None:
    method: Any = with_vectors(tmp_path / "v", model(), variant=variant, alpha_text=3)
    passes: list[str] = []
    moved = method._moved

    def counted(edit: Any, at: Any, layer: int, states: Tensor) -> Tensor:
        passes.append(at.phase if at.part == "text" else at.part)
        assert (moved(edit, at, layer, states) - states).abs().amax(-1).min() > 0  # all rows
        found: Tensor = moved(edit, at, layer, states)
        return found

    method._moved = counted
    made = answer(model(), method, questions(model(), 0), tokens=3)
    steps = made.tokens.shape[1]
    assert passes.count("decode") == (steps - 1) * 4
    assert passes.count("prefill") == 4
    assert passes.count("vision") == 3
    shared = questions(model(), 0, 1)
    passes.clear()
    images = [shared.images[0]] * 2
    reply(model(), method, batch_of_questions(shared.prompts, images, shared.ids))
    assert passes.count("prefix") == 4


# -- Files -----------------------------------------------------------------------------------------


def test_another_file_is_another_run(tmp_path: Path) -> None:
    one: Any = with_vectors(tmp_path / "v", model())
    assert one.params.vectors_hash and prepared("vti", model(), demos=2).params.vectors_hash is None  # type: ignore[attr-defined]
    other: Any = with_vectors(tmp_path / "v", model(), 5)
    assert one.params.vectors_hash != other.params.vectors_hash
    with pytest.raises(UserError, match="hash to"):
        prepared("vti", model(), vectors=str(tmp_path / "v"), vectors_hash=one.params.vectors_hash)


def test_files_that_do_not_fit_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        prepared("vti", model(), vectors=str(tmp_path / "none"))
    (tmp_path / "text").write_text("words")
    with pytest.raises(UserError, match="is no file of vectors"):
        prepared("vti", model(), vectors=str(tmp_path / "text"))
    save_file({"paper.text": torch.zeros(4, 1, 31)}, tmp_path / "narrow")
    with pytest.raises(UserError, match=r"holds no 'paper\.text' that fits"):
        prepared("vti", model(), vectors=str(tmp_path / "narrow"))


def test_a_prefix_is_shared_between_questions_and_not_between_settings(tmp_path: Path) -> None:
    one = with_vectors(tmp_path / "v", model())
    assert one.prefix_depends_on == "method"
    assert one.prefix_key() == with_vectors(tmp_path / "v", model()).prefix_key()
    assert one.prefix_key() != with_vectors(tmp_path / "v", model(), alpha_text=1).prefix_key()
    assert one.prefix_key() != with_vectors(tmp_path / "v", model(), 5).prefix_key()


# -- Composites ------------------------------------------------------------------------------------


@each_variant
def test_vcd_next_to_vti(variant: str) -> None:
    alone = answer(model(), prepared("vcd", model()), questions(model(), 0, 1)).logits
    settings = {"vti.variant": variant, "vti.demos": 2}
    nothing = {"vti.alpha_text": 0, "vti.alpha_image": 0}
    resting = answer(
        model(), prepared("vti+vcd", model(), **settings, **nothing), questions(model(), 0, 1)
    ).logits
    finite = torch.isfinite(alone)
    assert torch.allclose(resting[finite], alone[finite], atol=1e-4)
    both = answer(
        model(), prepared("vti+vcd", model(), **settings), questions(model(), 0, 1)
    ).logits
    seen = finite & torch.isfinite(both)
    assert (both - alone)[seen].abs().max() > 1e-3


def test_only_vti_acts_in_the_vision_tower_of_a_composite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of_text(self: Method, at: At, hidden: Tensor) -> None:
        assert at.part == "text"

    monkeypatch.setattr(find("var"), "hidden", of_text)
    with_vectors(tmp_path / "v", model())
    params = {"vti.vectors": str(tmp_path / "v"), "vti.alpha_text": 0, "vti.alpha_image": 2}
    alone = with_vectors(tmp_path / "v", model(), alpha_text=0, alpha_image=2)
    assert torch.equal(features(prepared("vti+var", model(), **params)), features(alone))


def test_flowcut_next_to_vti_is_refused_by_name() -> None:
    cls = find("vti+flowcut")
    with pytest.raises(UserError, match=r"vti edits what the vision tower.*flowcut thins out"):
        cls.requires(cls.parameters(), model().model.config, "tiny")
