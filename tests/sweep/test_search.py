"""Points that Optuna proposes: an interruption does not change them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from halluc.errors import UserError
from halluc.scoring.bootstrap import Interval
from halluc.sweep.config_file import load_sweep
from halluc.sweep.optuna_search import require_optuna, search_points
from halluc.sweep.point_results import Outcome
from halluc.sweep.sweep_config import SweepConfig

Point = Mapping[str, Any]


def config(trials: int, **change: Any) -> SweepConfig:
    given = {
        "method": "paint",
        "sweep": ["alpha=0:2", "local_ratio=0.1:0.5:0.1", "variant=paper"],
        "search": "tpe",
        "trials": trials,
        "objective": "glyph_chair.chair_i",
        "constraint": "glyph_chair.recall>=0.5",
    }
    return load_sweep(None, given | change)


def measure(asked: list[Point], until: int = 10**9) -> Callable[[Point], Outcome]:
    """A bowl with its bottom at alpha 1.5, where recall is too low beyond alpha 1."""

    def one(point: Point) -> Outcome:
        if len(asked) == until:
            raise KeyboardInterrupt
        asked.append(point)
        rate = (point["alpha"] - 1.5) ** 2 + point["local_ratio"]
        values = {"chair_i": Interval(rate), "recall": Interval(1 - point["alpha"] / 2)}
        named = {f"glyph_chair.{name}": value for name, value in values.items()}
        return Outcome(point, named, {}, {}, False, ())

    return one


def test_an_interrupted_search_proposes_what_it_would_have() -> None:
    pytest.importorskip("optuna", reason="needs pip install 'halluc[sweep]'")
    whole: list[Point] = []
    found = search_points(config(16), measure(whole))
    assert [outcome.point for outcome in found] == whole
    assert len(whole) == 16
    cut: list[Point] = []
    with pytest.raises(KeyboardInterrupt):
        search_points(config(16), measure(cut, until=12))
    again: list[Point] = []
    resumed = search_points(config(16), measure(again))
    assert cut == whole[:12]
    assert again == whole  # whoever measures has the answers of twelve, the last four are new
    assert [outcome.point for outcome in resumed] == whole


def test_a_search_goes_where_constraints_allow() -> None:
    pytest.importorskip("optuna", reason="needs pip install 'halluc[sweep]'")
    asked: list[Point] = []
    search_points(config(40), measure(asked))
    free: list[Point] = []
    search_points(config(40, constraint=()), measure(free))
    assert all(0 <= point["alpha"] <= 2 for point in asked)
    assert {point["local_ratio"] for point in asked} <= {0.1, 0.2, 0.3, 0.4, 0.5}
    allowed, by_chance = (
        sum(point["alpha"] <= 1 for point in points[20:]) for points in (asked, free)
    )
    assert allowed >= 2 * by_chance


def test_without_optuna_a_search_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError, match=r"pip install 'halluc\[sweep\]'"):
        require_optuna()
