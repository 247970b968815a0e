"""HALC says what its reference says, and contrasts what the reference contrasts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from halluc.methods import _focal_search
from halluc.methods import halc as halc_module
from halluc.methods._detector_and_matcher import Onlookers
from halluc.methods._fields_of_view import contrasts
from halluc.methods.halc import HALC
from halluc.models import VisionLanguageModel
from halluc.models.object_detector import Box
from halluc.testing import reply
from tests.kit.asking import questions
from tests.kit.families import build
from tests.kit.families.words import SIZE, WORDS
from tests.references.compare import FAMILIES
from tests.references.halc import Task, halc

OBJECTS = ("dog", "cat", "car", "image", "please", "yes", "no")
BOXES: dict[str, list[tuple[float, float, float, float, float]]] = {
    "dog": [(4, 4, 20, 24, 0.9), (10, 10, 22, 20, 0.5), (1, 1, 3, 3, 0.4)],
    "cat": [],
    "car": [(float(n), 2, n + 9.0, 30, 0.9 - n / 20) for n in (1, 6, 12, 18)],
    "image": [(20, 1, 31.6, 13, 0.6)],
    "please": [],
    "yes": [(0, 0, 32, 32, 0.7)],
    "no": [(12, 12, 13, 13, 0.8), (5, 9, 17, 28, 0.4)],
}
LENGTH = 16


def wordy(family: str, seed: int = 0) -> VisionLanguageModel:
    """A tiny model that writes words only, and does not stop."""
    model = build(family, seed)
    with torch.no_grad():
        model.model.lm_head.weight[: SIZE - len(WORDS.split())] = 0
    model.model.generation_config.eos_token_id = []
    return model


def score(texts: Sequence[str]) -> list[float]:
    """Some ranking of texts, by all of their letters."""
    return [sum((at + 3) * ord(letter) % 101 for at, letter in enumerate(t)) % 97 for t in texts]


class Stub(Onlookers):
    """Detects and matches as the test says."""

    def detect(self, image: Any, name: str) -> list[Box]:
        return [Box(*box) for box in BOXES[name]]

    def fit(self, image: Any, texts: Sequence[str]) -> Tensor:
        return torch.tensor(score(texts))


def both(
    family: str, patch: pytest.MonkeyPatch, seed: int = 0, **params: Any
) -> tuple[list[int], list[int], list[Tensor]]:
    """Ours, the reference's tokens, and the reference's contrasts, which ours equal."""
    model = wordy(family, seed)
    batch, tokenizer = questions(model, 0), model.processor.tokenizer
    made: list[Tensor] = []
    forward = contrasts

    def noted(*args: Any) -> Tensor:
        made.append(forward(*args))
        return made[-1]

    patch.setattr(_focal_search, "contrasts", noted)
    resolved = HALC.resolve(
        HALC.Params(objects=OBJECTS, detector=params.pop("detector", None), **params), model
    )
    patch.setattr(halc_module, "Onlookers", Stub)
    ours = reply(model, HALC(resolved), batch, tokens=LENGTH).tokens[0].tolist()

    task = Task(
        image=batch.images[0],
        encode=lambda image: model.encode(batch.rendered, [image]),
        read=lambda tokens: str(tokenizer.decode(list(tokens), skip_special_tokens=True)),
        things={word: name for name in OBJECTS for word in (name, f"{name}s")},
        detect=lambda name: list(BOXES[name]),
        match=score,
        unknown=tokenizer.unk_token_id,
    )
    expected, rows = halc(model.model, batch.inputs, task, n_tokens=LENGTH, **params)
    assert len(made) == len(rows)
    for mine, theirs in zip(made, rows, strict=True):
        assert mine.shape == theirs.shape
        assert float((mine - theirs).abs().max()) < 1e-4
    return ours, expected, rows


@FAMILIES
@pytest.mark.parametrize("variant", ["paper", "official_code"])
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"beta": 2.0, "k_candidates": 2},
        {"n_crops": 3, "expand_ratio": 0.9, "beta": 1.0, "num_beams": 3},
        {"n_crops": 6, "k_candidates": 8, "num_beams": 2},
    ],
)
def test_tokens_and_contrasts_equal_the_reference(
    family: str, variant: str, params: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = 0
    for seed in range(2):
        ours, expected, rows = both(family, monkeypatch, seed, variant=variant, **params)
        assert ours == expected
        chosen += len(rows)
    assert chosen > 2
