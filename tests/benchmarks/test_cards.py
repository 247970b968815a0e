from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from halluc.benchmarks.pope import PopeCoco
from halluc.errors import UserError
from halluc.scoring.base import REGISTRY, Benchmark
from halluc.scoring.building import build
from halluc.store import find_scored
from tests.benchmarks.hub import PINNED
from tests.kit.runs import write_run

NAMES = REGISTRY.names()


@pytest.mark.parametrize("name", NAMES)
def test_cards_say_where_a_benchmark_comes_from(name: str) -> None:
    card = REGISTRY.get(name).card
    assert card.paper.startswith("https://arxiv.org/abs/")
    assert card.title
    assert card.licence
    assert card.citation
    assert card.dataset
    names = [metric.name for metric in card.metrics]
    assert len(set(names)) == len(names)
    assert 0 < sum(metric.headline for metric in card.metrics) <= 6


@pytest.mark.parametrize("name", NAMES)
def test_every_protocol_and_prompt_can_be_asked_for(name: str) -> None:
    cls: type[Benchmark] = REGISTRY.get(name)
    for protocol in cls.protocols:
        assert cls(protocol=protocol).protocol == protocol
    for prompt in cls.prompts:
        assert cls(prompt=prompt).prompt == prompt
    assert cls().protocol == cls.protocols[0]


FOLDERS = [name for name in NAMES if REGISTRY.get(name)().files_needed]


@pytest.mark.parametrize("name", FOLDERS)
def test_a_missing_folder_is_asked_for_with_the_option(name: str, tmp_path: Path) -> None:
    benchmark = REGISTRY.get(name)()
    with pytest.raises(UserError) as told:
        next(benchmark.samples(1))
    option = f"--benchmarks {name}:FOLDER" if benchmark.own else "--benchmark-args folder=DIR"
    assert str(told.value).startswith(f"{name}: ") and str(told.value).endswith(f": {option}")
    assert build(name, {"folder": tmp_path}).given() == tmp_path


def test_what_is_drawn_or_fetched_needs_no_folder() -> None:
    assert {"chair_coco", "pope_gqa", "vlind_bench", "own_pope"} <= set(FOLDERS)
    assert not {"glyph_pope", "pope_coco", "mme", "amber"} & set(FOLDERS)


@pytest.mark.parametrize("name", ["chair_coco", "chair_coco_64", "glyph_chair"])
def test_chair_shows_what_saying_less_costs(name: str) -> None:
    shown = {metric.name for metric in REGISTRY.get(name).card.metrics if metric.headline}
    assert {"chair_s", "chair_i", "recall", "length"} <= shown


def test_data_sets_of_the_hub_are_pinned_where_the_revision_is_known() -> None:
    for name in NAMES:
        cls: Any = REGISTRY.get(name)
        if dataset := getattr(cls, "dataset", None):
            assert (cls.card.dataset, cls.card.revision) == (dataset.repo, dataset.revision)
            assert bool(dataset.revision) == (dataset.repo in PINNED)


def test_scores_hold_the_version_of_every_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cls = REGISTRY.get("glyph_mme")
    monkeypatch.setattr(cls, "card", replace(cls.card, version=7))
    found = find_scored(write_run(tmp_path, limit=2))
    versions = {one.name: one.scores.asked.version for one in found}
    assert versions == {"glyph_mme": 7, "glyph_chair": 1}


def test_directions() -> None:
    better = {metric.name: metric.higher_is_better for metric in REGISTRY.get("amber").card.metrics}
    assert [better[name] for name in ("CHAIR", "Cover", "Hal", "Cog")] == [
        False,
        True,
        False,
        False,
    ]
    chair = {m.name: m.higher_is_better for m in REGISTRY.get("chair_coco").card.metrics}
    assert (chair["chair_i"], chair["recall"], chair["length"]) == (False, True, None)


def test_chat_is_true_or_false() -> None:
    built = build("pope_coco", {"chat": True})
    assert isinstance(built, PopeCoco) and built.chat
    with pytest.raises(UserError, match="pope_coco: chat 'often' is neither true nor false"):
        build("pope_coco", {"chat": "often"})
    with pytest.raises(UserError, match="glyph_pope: takes no 'chat'"):
        build("glyph_pope", {"chat": True})
