"""Counterfactual pairs: what is taken away, and what becomes of the answer."""

from __future__ import annotations

import pytest

from halluc.lab.base import Finding
from halluc.lab.counterfactual_pairs import TERCILES, pairs
from halluc.lab.experiments.counterfactual import Counterfactual
from halluc.lab.questions import scenes
from halluc.types import Sample
from halluc.world.controlled import fewer
from halluc.world.themes import chance
from tests.lab import made_up


def run(monkeypatch: pytest.MonkeyPatch, **rules: made_up.Rule) -> Finding:
    return made_up.run(Counterfactual(), rules, monkeypatch)


def expecting(sample: Sample) -> str:
    name = made_up.category(sample)
    likely = name is not None and chance(made_up.scene_of(sample).theme, name) >= 0.5
    return "Yes" if likely else made_up.truthful(sample)


def test_pairs_differ_in_one_clear_category_and_leave_something() -> None:
    made = pairs(scenes(20, least=2))
    for pair in made:
        there, gone = pair.there.scene, pair.gone.scene
        assert set(there.categories) - set(gone.categories) == {pair.category}
        assert gone.things
        assert "clear" in {t.band for t in there.things if t.category == pair.category}
        assert (there.split, there.index) == (gone.split, gone.index)
        assert pair.there.image_id != pair.gone.image_id
    assert len(made) > 30
    assert not pairs([fewer(scene, 1) for scene in scenes(5)])


def test_terciles_are_a_third_each_in_order_of_chance() -> None:
    made = pairs(scenes(40, least=2))
    odds = {
        name: [chance(p.there.scene.theme, p.category) for p in made if p.tercile == name]
        for name in TERCILES
    }
    assert all(abs(len(part) - len(made) / 3) < 0.15 * len(made) for part in odds.values())
    least, middle, most = odds.values()
    assert max(least) <= min(middle) and max(middle) <= min(most)


def test_a_method_that_always_says_yes_is_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    finding = run(monkeypatch, baseline=made_up.truthful, yes=made_up.affirming)
    assert len(finding.rows) == 2 * (1 + len(TERCILES))
    for found in finding.rows:
        stuck = found["method"] == "yes"
        assert found["flip (%)"] == (0 if stuck else 100)
        assert found["stuck yes (%)"] == (100 if stuck else 0)
        assert found["stuck no (%)"] == 0
        assert found["still named (%)"] == (100 if stuck else 0)
        if stuck:
            assert found["flip - baseline"] == -100
            assert found["stuck yes - baseline"] == 100


def test_a_method_that_always_says_no_is_stuck_the_other_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finding = run(monkeypatch, baseline=lambda sample: "No")
    assert {found["stuck no (%)"] for found in finding.rows} == {100}
    assert {found["still named (%)"] for found in finding.rows} == {None}


def test_the_claim_is_that_expected_things_are_affirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, baseline=expecting).held == "held"
    assert run(monkeypatch, baseline=made_up.truthful).held == "did not hold"
