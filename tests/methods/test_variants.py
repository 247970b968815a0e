"""Variants keep every method's promises, and methods work on what token pruning leaves."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from halluc.interventions import REGISTRY, At, BatchState, Method
from halluc.interventions.contrast import guided
from halluc.methods.flowcut import FlowCut
from halluc.methods.paint import PAINT
from halluc.methods.vmtc import VMTC
from halluc.models import VisionLanguageModel
from tests.kit.asking import answer, prepared, questions
from tests.kit.families import llava
from tests.kit.places import combined

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("act", {"variant": "official_code"}),
    ("act", {"heads": {1: [0, 2], 3: [1]}}),
    ("zerotuning", {"gamma": 3.0, "heads": {0: [1], 2: [0, 3]}}),
    ("cmai", {"layer": 0, "share": 0.6}),
    ("vmtc", {"primary": 3, "clusters": 4}),
    ("flowcut", {"target": 2}),
    ("var", {"variant": "official_code"}),
    ("var", {"rows": "all", "rho": 1.0, "min_image_mass": 0.0}),
    ("paint", {"variant": "official_code"}),
    ("paint", {"gamma": 2.0}),
    ("paint", {"boost_prompt": False}),
]


@pytest.fixture(scope="module")
def model() -> VisionLanguageModel:
    return llava(tower_layers=5)


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize(("name", "params"), VARIANTS)
def test_batch_and_padding_change_nothing(
    name: str, params: dict[str, Any], beams: int, model: VisionLanguageModel
) -> None:
    logits, tokens, _ = answer(
        model, prepared(name, model, **params), questions(model, 0, 1), beams
    )
    for row in range(2):
        alone, one, _ = answer(model, prepared(name, model, **params), questions(model, row), beams)
        near = alone[0].isfinite()
        assert torch.equal(near, logits[row].isfinite())
        assert torch.allclose(logits[row][near], alone[0][near], atol=1e-3)
        assert tokens[row, : one.shape[1]].tolist() == one[0].tolist()


@pytest.mark.parametrize("name", ["act", "zerotuning", "cmai", "vmtc", "flowcut", "vhr", "paint"])
def test_defaults_do_something(name: str, model: VisionLanguageModel) -> None:
    # 5 / n is a lot for ACT's sinks to hold in a prompt of 24 tokens.
    params = {"alpha": 1.5} if name == "act" else {}
    batch = questions(model, 0, 1)
    edited = answer(model, prepared(name, model, **params), batch).logits
    assert not torch.allclose(edited, answer(model, prepared("baseline", model), batch).logits)


def test_guidance_is_hand_computed() -> None:
    # The last has less than a tenth of .8; .8^2 / .5 and .15^2 / .25 are left.
    seen = torch.tensor([[0.8, 0.15, 0.05]]).log()
    unseen = torch.tensor([[0.5, 0.25, 0.25]]).log()
    paint = PAINT(PAINT.Params(gamma=2.0))
    streams: dict[str, Any] = {"main": seen + 3, "no image": unseen - 1}
    out = combined(paint, **streams).exp()
    assert out.tolist() == [pytest.approx([1.28, 0.09, 0.0])]
    plain = guided(seen, unseen, 1.0)[0]
    assert plain[:2].tolist() == pytest.approx(seen[0, :2].tolist())


def test_official_paint_never_boosts_the_prompt(model: VisionLanguageModel) -> None:
    batch = questions(model, 0, 1)
    official = prepared("paint", model, variant="official_code")
    weaker = prepared("paint", model, variant="official_code", alpha=0.0, beta=0.0)
    first = answer(model, official, batch).logits
    second = answer(model, weaker, batch).logits
    assert torch.equal(first, second)
    boosted = prepared("paint", model, variant="official_code", boost_prompt=True)
    assert not torch.allclose(answer(model, boosted, batch).logits, first)


def test_all_rows_edit_the_image_too(model: VisionLanguageModel) -> None:
    loose = {"rho": 1.0, "min_image_mass": 0.0, "tau": 1.0, "sink_dims": (3, 5)}
    some, every = (
        answer(model, prepared("var", model, rows=rows, **loose), questions(model, 0)).logits
        for rows in ("after_image", "all")
    )
    assert not torch.allclose(some, every, atol=1e-4)


def pruned(name: str, pruning: Method) -> type[Method]:
    """A method that works on what another leaves of the image."""

    class Pruned(REGISTRY.get(name)):  # type: ignore[misc]
        columns: set[int]

        def image_tokens(self, at: At, hidden: Tensor) -> Tensor:
            return pruning.image_tokens(at, hidden)

        def hidden(self, at: At, hidden: Tensor) -> Any:
            self.columns |= set(at.image_columns.sum(1).tolist())
            if Pruned.__mro__[1].hidden is not Method.hidden:
                return super().hidden(at, hidden)
            return None

    return Pruned


@pytest.mark.parametrize(
    "pruning", [FlowCut(FlowCut.Params(target=6)), VMTC(VMTC.Params(primary=4, clusters=2))]
)
@pytest.mark.parametrize("name", ["var", "vhr", "paint", "act", "zerotuning", "cmai"])
def test_methods_work_on_what_is_left(
    name: str, pruning: Method, model: VisionLanguageModel
) -> None:
    cls = pruned(name, pruning)

    def built() -> Any:
        method: Any = cls.for_model(model)
        method.columns = set()
        return method

    method = built()
    logits, tokens, _ = answer(model, method, questions(model, 0, 1))
    assert method.columns <= {6, 0} and 6 in method.columns  # 0: VHR's copies without image
    for row in range(2):
        alone, one, _ = answer(model, built(), questions(model, row))
        assert torch.allclose(logits[row], alone[0], atol=1e-3)
        assert tokens[row, : one.shape[1]].tolist() == one[0].tolist()


def test_paint_chooses_among_the_patches_left(model: VisionLanguageModel) -> None:
    states: list[BatchState] = []

    class Watched(pruned("paint", FlowCut(FlowCut.Params(target=6)))):  # type: ignore[misc]
        def attention_logits(self, at: At, logits: Tensor) -> Tensor:
            states.append(at.memory)
            edited: Tensor = super().attention_logits(at, logits)
            return edited

    method: Any = Watched.for_model(model, {"local_ratio": 0.5})
    method.columns = set()
    answer(model, method, questions(model, 0, 1))
    memory, state = states[-1], states[-1].method
    assert {len(a) for image in memory.vision_attention.values() for a in image} == {6}
    assert memory.tokens.image_mask.sum(1).tolist() == [6, 6]
    chosen = state["local"] | state["summary"]
    assert not (chosen & ~memory.tokens.image_mask).any()
    assert set(state["local"].sum(1).tolist()) <= {1, 2, 3}
