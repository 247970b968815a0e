"""docs/benchmarks.md says what the benchmarks' cards say."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from bench.cards import source, table
from halluc.leaderboard.markdown_tables import END, START
from halluc.scoring.base import REGISTRY
from tests.kit.pages import ROOT

PAGE = ROOT / "docs/benchmarks.md"


def test_the_page_has_every_card() -> None:
    written = PAGE.read_text().partition(START)[2].partition(END)[0].strip()
    assert written == table(), "run make benchmarks"
    assert re.findall(r"^\| `(\w+)`", written, re.M) == REGISTRY.names()


def test_another_card_is_another_page(monkeypatch: pytest.MonkeyPatch) -> None:
    cls = REGISTRY.get("pope_coco")
    monkeypatch.setattr(cls, "card", replace(cls.card, size=(500, 9001)))
    assert "9001 on 500 images" in table()


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("glyph_pope", "drawn"),
        ("pope_coco", "fetched: lmms-lab/POPE (hub)"),
        ("own_pope", "a folder with your images and COCO's instances_*.json of them"),
        (
            "openchair",
            "fetched: moranyanuka/OpenCHAIR (hub); a folder with concreteness.csv "
            "(columns Word and Conc.M)",
        ),
    ],
)
def test_where_data_come_from(name: str, where: str) -> None:
    assert source(REGISTRY.get(name)()) == where
