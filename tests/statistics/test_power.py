"""The power formula against simulation, and the sizes of benchmarks against their files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from halluc.errors import UserError
from halluc.scoring.base import REGISTRY
from halluc.scoring.building import build
from halluc.statistics.power import Design
from halluc.statistics.power_planning import measured, plan
from tests.kit.runs import asked_by, keep_scored, write_run
from tests.scoring.test_score import answers


def test_by_hand() -> None:
    # n = ((1.95996 + 0.84162) / 0.05)^2 * (0.2 - 0.05^2) = 620.05
    design = Design(per_image=1, discordance=0.2, correlation=0)
    assert design.images(0.05, 0.8) == 621
    assert design.power(0.05, 621) == pytest.approx(0.8, abs=0.001)
    assert design.detectable(621, 0.8) == pytest.approx(0.05, abs=1e-4)
    assert design.power(0.05, 10_000) > 0.9999


def test_clusters_cost_what_the_design_effect_says() -> None:
    alone, together = Design(6, 0.2, 0.0), Design(6, 0.2, 0.2)
    assert together.design_effect == 2
    assert together.images(0.03, 0.8) == pytest.approx(2 * alone.images(0.03, 0.8), abs=1)
    copies = Design(6, 0.2, 1.0)  # six copies of one question say no more than one
    assert copies.images(0.03, 0.8) == Design(1, 0.2, 0.0).images(0.03, 0.8)


@pytest.mark.parametrize("correlation", [0.0, 0.3])
def test_as_often_as_promised_a_simulated_difference_is_found(correlation: float) -> None:
    design = Design(per_image=4, discordance=0.3, correlation=correlation)
    rng = np.random.default_rng(0)
    images, found = 200, 0
    for _ in range(2000):
        # two questions that both copy what their image draws are equal: correlation s * s
        shared, own = (
            rng.choice([-1, 0, 1], p=[0.12, 0.7, 0.18], size=(images, m)) for m in (1, 4)
        )
        copied = rng.random((images, 4)) < np.sqrt(correlation)
        gaps = np.where(copied, shared, own).mean(axis=1)
        found += abs(gaps.mean()) > 1.96 * gaps.std(ddof=1) / np.sqrt(images)
    assert found / 2000 == pytest.approx(design.power(0.06, images), abs=0.03)


def test_what_is_measured_of_two_runs(tmp_path: Path) -> None:
    yes_no = build("pope_coco")
    runs = [write_run(tmp_path, name, benchmarks=()) for name in ("vhr", "baseline")]
    texts = np.where(np.random.default_rng(0).random(600) < 0.7, "yes", "no")
    other = np.where(np.arange(600) % 10 == 0, "no", texts)
    sides = ([replace(a, group="random") for a in answers(list(t), 6)] for t in (texts, other))
    ours, theirs = (
        keep_scored(run, yes_no, asked_by(side), side)
        for run, side in zip(runs, sides, strict=True)
    )
    design = measured(ours, theirs)
    assert design.per_image == 6
    assert design.discordance == pytest.approx(np.mean(texts != other))
    assert abs(design.correlation) < 0.1
    with pytest.raises(UserError, match="right and wrong on the same answers"):
        measured(ours, ours)


@pytest.mark.parametrize("name", ["glyph_pope", "glyph_chair", "glyph_mme"])
def test_sizes_of_drawn_benchmarks(name: str) -> None:
    samples = list(build(name).samples())
    assert REGISTRY.get(name).card.size == (len({s.image_id for s in samples}), len(samples))


@pytest.mark.parametrize("family", ["coco", "aokvqa", "gqa"])
def test_sizes_of_pope(shared: Path, family: str) -> None:
    files = [shared / f"data/pope/{family}_pope_{s}.json" for s in ("random", "popular")]
    files.append(shared / f"data/pope/{family}_pope_adversarial.json")
    rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert REGISTRY.get(f"pope_{family}").card.size == (
        len({row["image"] for row in rows}),
        len(rows),
    )


def test_size_of_amber(shared: Path) -> None:
    rows = json.loads((shared / "data/amber/query/query_all.json").read_text())
    images, questions = len({row["image"] for row in rows}), len(rows)
    assert REGISTRY.get("amber").card.size == (images, questions)
    parts = [REGISTRY.get(f"amber_{part}").card.size for part in ("generative", "discriminative")]
    assert [size[0] for size in parts if size] == [images, images]
    assert sum(size[1] for size in parts if size) == questions


@pytest.mark.parametrize("difference", [1e-300, 1e-7])
def test_a_difference_too_small_to_be_planned_for_is_refused(difference: float) -> None:
    with pytest.raises(UserError, match="no smaller one than 1e-06 is planned"):
        plan("pope_coco", difference, None, None, 0.1, 0.1, 0.8, 0.05)
    assert plan("pope_coco", 1e-6, None, None, 0.1, 0.1, 0.8, 0.05)["needed"]["images"] > 10**9
