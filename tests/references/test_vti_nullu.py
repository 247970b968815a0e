"""VTI and Nullu next to plain loops that share no code with them: directions, tokens, logits.

Every reference runs on a model of its own that has run nothing before: transformers' hooks, which
stay once set, would record hidden states in front of the reference's edits.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from halluc.calibration import demonstrations
from halluc.calibration.demonstrations import masked_copies
from halluc.config import DecodingConfig
from halluc.decoding.generation import generate
from halluc.interventions import Method
from halluc.methods import nullu as our_nullu
from halluc.methods import vti as our_vti
from halluc.methods.vti import VTI
from halluc.models import VisionLanguageModel
from tests.kit.asking import prepared, questions
from tests.kit.demonstrations import in_known_words
from tests.kit.families import build
from tests.kit.steps import Steps
from tests.references import nullu, states, vti

Variant = Literal["paper", "official_code"]
TOKENS = 12
DEMOS = 5
CELLS = 4  # patches of 8 pixels along a tiny tower's side

each_variant = pytest.mark.parametrize("variant", ["paper", "official_code"])
each_family = pytest.mark.parametrize("family", ["llava", "qwen2_5_vl"])


@pytest.fixture(autouse=True)
def known_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demonstrations, "drawn_demonstrations", in_known_words)


@cache
def tiny(family: str) -> VisionLanguageModel:
    return build(family)


def engine(model: VisionLanguageModel, method: Method) -> tuple[list[int], Tensor]:
    """Greedy tokens, and the logits [T, V] they were taken from."""
    steps = Steps()
    batch = questions(model, 1)
    made = generate(model, method, batch, DecodingConfig(), max_new_tokens=TOKENS, watch=[steps])
    return made.tokens[0].tolist(), torch.stack(steps.rows)


def agree(ours: tuple[list[int], Tensor], reference: tuple[list[int], Tensor]) -> None:
    assert ours[0][: len(reference[0])] == reference[0]
    difference = float((ours[1][: len(reference[1])] - reference[1]).abs().max())
    print(f"largest difference of logits: {difference:.1e}")
    assert difference < 1e-4


def moved(model: VisionLanguageModel, logits: Tensor) -> float:
    stock = engine(model, prepared("baseline", model))[1]
    return float((logits[0] - stock[0]).abs().max())


def random_directions(model: VisionLanguageModel, tokens: int) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)
    width = model.model.config.get_text_config().hidden_size
    depth = len(model.tower.layers)
    text = torch.randn(model.n_layers, 1, width, generator=draw)
    vision = torch.randn(depth, tokens, width, generator=draw)
    return {"text": text, "vision": vision}


@each_variant
@each_family
@pytest.mark.parametrize("alphas", [(2.0, 0.0), (0.0, 2.0), (1.5, 3.0)])
def test_vti_answers_as_its_reference(
    family: str, variant: Variant, alphas: tuple[float, float], tmp_path: Path
) -> None:
    model = tiny(family)
    found = random_directions(model, 17 if family == "llava" else 1)
    file = tmp_path / "vectors.safetensors"
    save_file({f"{variant}.{part}": of for part, of in found.items()}, file)
    method = prepared(
        "vti", model, variant=variant, vectors=str(file), alpha_text=alphas[0],
        alpha_image=alphas[1],
    )  # fmt: skip
    ours = engine(model, method)
    fresh = build(family)
    reference = vti.vti(
        fresh.model, questions(fresh, 1).inputs, n_tokens=TOKENS, text=found["text"][:, 0],
        vision=found["vision"], alpha_text=alphas[0], alpha_image=alphas[1], variant=variant,
    )  # fmt: skip
    agree(ours, reference)
    assert moved(model, ours[1]) > 1e-2


def captions(
    model: VisionLanguageModel, kind: Literal["truthful", "hallucinated"], form: str
) -> list[Any]:
    """Each demonstration's prompt, picture and caption, encoded alone."""
    return [
        model.encode([model.render(one.prompt) + form.format(getattr(one, kind))], [one.image])
        for one in in_known_words(DEMOS)
    ]


@each_variant
@each_family
def test_vti_fits_text_directions_as_its_reference(family: str, variant: Variant) -> None:
    ours = our_vti.measured(tiny(family), VTI.Params(demos=DEMOS, copies=1))
    fresh = build(family)
    pairs = zip(
        captions(fresh, "truthful", "{}"), captions(fresh, "hallucinated", "{}"), strict=True
    )
    reference = vti.text_directions(fresh.model, list(pairs), variant=variant)
    assert torch.allclose(ours[f"{variant}.text"][:, 0], reference, atol=1e-4)


def pictures(model: VisionLanguageModel, copies: int) -> list[tuple[Any, Sequence[Any]]]:
    """Each demonstration's picture and its masked copies, encoded alone."""

    def one(image: Any) -> Any:
        return model.encode([model.render("?")], [image])

    return [
        (one(shown.image), [one(c) for c in masked_copies(shown.image, CELLS, copies, 0.9, seed)])
        for seed, shown in enumerate(in_known_words(DEMOS))
    ]


@each_variant
def test_vti_fits_vision_directions_as_its_reference(variant: Variant) -> None:
    params = VTI.Params(demos=DEMOS, copies=3, mask_ratio=0.9)
    ours = our_vti.measured(tiny("llava"), params)[f"{variant}.vision"]
    fresh = build("llava")
    reference = vti.vision_directions(fresh.model, pictures(fresh, 3), variant=variant)
    assert ours.shape == (3, 17, 32)
    assert torch.allclose(ours, reference, atol=1e-4)


@each_variant
def test_vti_fits_the_mean_over_tokens_where_pictures_differ(
    variant: Variant,
) -> None:
    params = VTI.Params(demos=DEMOS, copies=3, mask_ratio=0.9)
    ours = our_vti.measured(tiny("qwen2_5_vl"), params)[f"{variant}.vision"]
    fresh = build("qwen2_5_vl")

    def mean_state(inputs: Any) -> Tensor:
        return states.tower_states(fresh.model, inputs).mean(1)

    shifts = torch.stack(
        [
            torch.stack([mean_state(copy) for copy in copies]).mean(0) - mean_state(image)
            for image, copies in pictures(fresh, 3)
        ]
    )
    if variant == "paper":
        reference = vti.principal(shifts.transpose(0, 1))
    else:
        reference = vti.component_and_mean(shifts.flatten(1)).view(shifts.shape[1:])
    assert torch.allclose(ours[:, 0], reference[1:], atol=1e-4)


def reference_features(family: str, variant: Variant) -> tuple[VisionLanguageModel, Tensor, Tensor]:
    fresh = build(family)
    form = " {}" + (fresh.processor.tokenizer.eos_token or "")
    true, wrong = (
        nullu.features(fresh.model, captions(fresh, kind, form), variant=variant)
        for kind in ("truthful", "hallucinated")
    )
    return fresh, true, wrong


@each_variant
@each_family
@pytest.mark.parametrize("settings", [{}, {"first_layer": 1, "last_layer": 2, "rank": 2}])
def test_nullu_answers_as_its_reference(
    family: str, variant: Variant, settings: dict[str, int]
) -> None:
    model = tiny(family)
    ours = engine(model, prepared("nullu", model, variant=variant, demos=DEMOS, **settings))
    fresh, true, wrong = reference_features(family, variant)
    layers = range(1, 3) if settings else None  # by default the upper half
    reference = nullu.nullu(
        fresh.model, questions(fresh, 1).inputs, n_tokens=TOKENS, truthful=true,
        hallucinated=wrong, rank=settings.get("rank", 4), layers=layers,
    )  # fmt: skip
    agree(ours, reference)
    assert moved(model, ours[1]) > 1e-3


@each_variant
def test_nullu_finds_the_spaces_of_its_reference(variant: Variant) -> None:
    ours = our_nullu.measured(tiny("llava"), DEMOS)[f"{variant}.space"]
    _, true, wrong = reference_features("llava", variant)
    spaces = nullu.hallu_spaces(true, wrong, rank=3)
    for found, reference in zip(ours, spaces, strict=True):
        assert torch.allclose(found[:3].T @ found[:3], reference @ reference.T, atol=1e-3)
