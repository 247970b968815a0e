"""What a sink is, where it lies, and what it costs to remove it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from halluc.lab.base import Setting
from halluc.lab.experiments.sinks import (
    Sinks,
    _places,
    as_many_others,
    both,
    costs_little,
    removed,
)
from halluc.lab.found_sinks import FoundSinks, look, sink_tokens
from halluc.lab.patches import background
from halluc.lab.questions import scenes
from halluc.models import VisionLanguageModel
from halluc.scoring.bootstrap import Interval
from tests.kit.families import llava

DIM = 7


def planted(bias: float = 60.0) -> VisionLanguageModel:
    """LLaVA all of whose image tokens are massive in one dimension."""
    model = llava()
    projector: Any = model.tower.projector
    with torch.no_grad():
        projector.linear_2.bias[DIM] = bias
    return model


def test_a_sink_is_massive_and_attended_to() -> None:
    size = torch.tensor([[0.9, 0.9, 0.5, 0.9]])
    attended = torch.tensor([[0.4, 0.2, 0.4, 0.1]])
    image = torch.tensor([[False, True, True, True]])
    alone = sink_tokens(size, attended, torch.tensor([0.29]), image)
    assert alone.tolist() == [[True, False, False, False]]
    shared = sink_tokens(size, attended, torch.tensor([0.3]), image)
    assert shared.tolist() == [[True, True, False, True]]


def test_as_many_other_tokens_are_drawn_as_there_are_sinks() -> None:
    sinks = torch.arange(10) < 3
    drawn = [as_many_others(sinks, torch.Generator().manual_seed(seed)) for seed in range(5)]
    assert all(int(one.sum()) == 3 and not bool((one & sinks).any()) for one in drawn)
    assert len({tuple(one.tolist()) for one in drawn}) > 1
    few = as_many_others(torch.arange(10) < 8, torch.Generator())
    assert few.nonzero()[:, 0].tolist() == [8, 9]


@pytest.mark.parametrize(
    ("low", "high", "held"),
    [(-0.009, 0.02, "held"), (-0.05, -0.011, "did not hold"), (-0.05, 0.0, "not decided")],
)
def test_removing_sinks_may_cost_a_point(low: float, high: float, held: str) -> None:
    assert costs_little(Interval((low + high) / 2, low, high)) == held


def test_both_halves_of_the_claim_have_to_hold() -> None:
    assert both("held", "held") == "held"
    assert both("held", "did not hold") == both("did not hold", "held") == "did not hold"
    assert both(None, "held") == both("held", "not decided") == "not decided"
    assert both(None, "did not hold") == "did not hold"


def lying(where: Tensor, number: int) -> FoundSinks:
    """A scene whose sinks lie where we say, in one of two layers."""
    sinks = torch.stack([where, torch.zeros_like(where)])
    none = torch.zeros(2)
    return FoundSinks(scenes(number + 1)[number], str(number), none, none, none.bool(), sinks, none)


def test_sinks_on_the_background_are_more_than_its_share() -> None:
    grid = (16, 16)
    bare = [background(scene, grid) for scene in scenes(5)]
    share = 100 * sum(float(b.sum()) for b in bare) / (5 * 256)

    rows, (held, said) = _places([lying(b, n) for n, b in enumerate(bare)], grid, 0)
    assert held == "held" and said.startswith("100.0 [100.0, 100.0]%")
    assert [row["value"] for row in rows] == pytest.approx([100, share, 100 - share])
    on_things = _places([lying(~b, n) for n, b in enumerate(bare)], grid, 0)[1]
    assert on_things[0] == "did not hold" and on_things[1].startswith("0.0 [")
    assert _places([lying(bare[0], 0)], None, 0)[1][0] is None


def test_a_model_without_sinks_is_said_to_have_none() -> None:
    finding = Sinks().run(Setting(llava(), (), 3))
    assert finding.held == "not decided"
    assert "no visual sinks" in finding.because
    sinks = [row["value"] for row in finding.rows if row["measure"] == "visual sinks a scene"]
    assert sinks == [0.0] * 4


def test_planted_sinks_are_found_and_removed() -> None:
    model = planted()
    found = look(model, scenes(2))
    assert all(bool(one.sinks[0].all()) and float(one.largest[0]) > 0.9 for one in found)
    finding = Sinks().run(Setting(model, (), 2))
    rows = {row["measure"]: row for row in finding.rows if row["layer"] is None}
    assert rows["visual sinks a scene, in any layer"]["value"] == 16.0
    assert rows["scenes with visual sinks (%)"]["value"] == 100.0
    assert rows["difference (%)"]["value"] == pytest.approx(0.0)  # all tokens are sinks
    assert finding.held == "did not hold"
    others = rows["accuracy without as many others, change"]
    assert others["value"] == 0.0  # there are no others


def test_what_is_removed_is_not_seen() -> None:
    from halluc.lab.probes import RemovedKeys
    from halluc.lab.yes_no import first_tokens, questions

    model = llava()
    found = look(model, scenes(2))
    asked = [one.sample for one in questions(scenes(2), 1)]
    gone = {one.image_hash: torch.ones(16, dtype=torch.bool) for one in found}
    margin = first_tokens(model, RemovedKeys(gone), asked).margin
    assert torch.allclose(margin, margin[0].expand_as(margin), atol=1e-4)  # all names are unknown
    costs = removed(model, found, 0)  # no sinks: nothing goes
    assert all(cost.value == 0 for cost in costs.values())
