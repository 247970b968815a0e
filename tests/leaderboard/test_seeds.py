"""Runs that differ in their seed alone are summed up, and only those."""

from __future__ import annotations

from pathlib import Path
from statistics import mean, stdev

import pytest

from halluc.config import DecodingConfig
from halluc.leaderboard import collect, render
from halluc.leaderboard.formatting import title
from halluc.leaderboard.markdown_tables import markdown
from halluc.leaderboard.seed_spread import heading, repeated, spreads
from tests.kit.runs import write_run

SEEDS = (3, 1, 2)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for seed in SEEDS:
        drawn = DecodingConfig(do_sample=True, seed=seed)
        write_run(tmp_path, error=0.2, seed=seed, decoding=drawn)
        write_run(tmp_path, "vhr", error=0.4, seed=seed, decoding=drawn, params={"gain": 2.0})
    return tmp_path


def test_mean_and_deviation_between_seeds(runs: Path) -> None:
    board = collect([runs])
    chair, mme = sorted(repeated(board), key=lambda methods: methods[0][0].benchmark)
    assert [[row.method for row in rows] for rows in mme] == [["baseline"] * 3, ["vhr"] * 3]
    assert heading(mme).endswith("sampling, float32; mean and standard deviation of seeds 1, 2, 3")
    assert ["sampling, seed 1, float32" in title(row) for row in mme[0]] == [True, False, False]
    values = [row.metrics["total"].value or 0.0 for row in mme[1]]
    gaps = [row.differences["total"].value for row in mme[1]]
    assert list(spreads(mme[1], "total")) == [
        f"{mean(values):.1f} ± {stdev(values):.1f}",
        f"{mean(gaps):+.1f} ± {stdev(gaps):.1f}",
    ]
    assert len(list(spreads(mme[0], "total"))) == 1  # the baseline differs from nothing
    assert stdev(values) > 0 and len(chair) == 2


def test_tables_show_them(runs: Path) -> None:
    board = collect([runs])
    titles = [str(table.title) for table in render(board)]
    assert len(titles) == 2 * len(SEEDS) + 2
    assert sum("seeds 1, 2, 3" in title for title in titles) == 2
    assert markdown(board).count("standard deviation of seeds 1, 2, 3") == 2


def test_only_seeds_may_differ(tmp_path: Path) -> None:
    for seed, top_p in ((0, 1.0), (1, 0.9)):
        write_run(tmp_path, decoding=DecodingConfig(do_sample=True, seed=seed, top_p=top_p))
    write_run(tmp_path, seed=1, decoding=DecodingConfig(seed=1))  # not drawn at random
    assert repeated(collect([tmp_path])) == []
