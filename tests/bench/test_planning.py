"""The planning page: its arithmetic by numbers worked out by hand, and that the bench writes it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench import planning
from bench.plan.assumed import Asks, Assumed, Gpu, Model, benchmarks
from bench.plan.gpu_time import (
    BASELINE,
    Ratio,
    imbalance,
    read_tokens,
    seconds,
    step_seconds,
    written_tokens,
)
from bench.plan.grid import WAYS, total
from bench.plan.limits import HOUR, StoreCosts, duration, limits, size
from bench.plan.measuring import Unit, units
from bench.plan.method_costs import published

MODEL = Model("m", 10, 60, 1000)  # a prefix of 40 + 60 tokens, and 25 after it
ASKS = Asks("b", 10, 60, 40, (("yes_no", 60, 16),), "by hand")
ASSUMED = Assumed(Gpu("g", 100, 1, (2, 3)), 0.5, 0.5, 0.01, 4, 36)


def test_tokens_read_by_what_is_shared() -> None:
    def read(ratio: Ratio, sharing: str, first: bool = True) -> float:
        return read_tokens(ratio, MODEL, ASKS, sharing, first)  # type: ignore[arg-type]

    assert read(BASELINE, "nothing") == 60 * 125
    assert read(BASELINE, "questions") == 10 * 100 + 40 * 25
    assert read(BASELINE, "command") == 10 * 100 + 40 * 25
    assert read(BASELINE, "command", first=False) == 40 * 25
    twice = Ratio("twice", "method", 2.0, 1.0)
    assert read(twice, "command", first=False) == 10 * 100 + 40 * 25 + 40 * 125
    assert read(Ratio("half", "method", 0.5, 1.0), "questions") == (10 * 100 + 40 * 25) / 2
    assert read(Ratio("asked", "question", 3.0, 1.0), "command", first=False) == 3 * 40 * 125


def test_tokens_written_stop_at_the_limit() -> None:
    mixed = Asks("b", 1, 30, 15, (("yes_no", 20, 16), ("caption", 10, 64)), "by hand")
    assert written_tokens(mixed, shared=False) == 20 * 5 + 10 * 64
    assert written_tokens(mixed, shared=True) == (20 * 5 + 10 * 64) / 2
    assert written_tokens(mixed, shared=False, at_limit=True) == 20 * 16 + 10 * 64


def test_seconds_of_a_method() -> None:
    # A step reads 20 GB of weights and 4 x 125 x 1000 bytes of caches at 0.5 TB/s.
    step = (20e9 + 500_000) / 0.5e12
    assert step_seconds(MODEL, ASSUMED) == pytest.approx(step)
    # 60 prompts of 125 tokens, 2 x 10e9 operations each, at 50e12 a second.
    reading = 60 * 125 * 20e9 / 50e12
    assert reading == 3.0
    slow = Ratio("slow", "question", 2.0, 3.0)
    writing = 60 * 5 * step / 4
    assert seconds(slow, MODEL, ASKS, ASSUMED) == pytest.approx(2 * reading + 3 * writing)
    assert step_seconds(Model("s", 1, 0, 0), ASSUMED) == 0.01


def test_the_grid_adds_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.plan.grid.MODELS", (MODEL,))
    ratios = [Ratio("a", "question", 1.0, 1.0), Ratio("b", "question", 3.0, 3.0)]
    once = seconds(BASELINE, MODEL, ASKS, ASSUMED)
    again, kept, *_ = (total(way, ratios, 5, [ASKS], ASSUMED) for way in WAYS)
    assert again.work["b"] == pytest.approx(4 * once + 4 * 2 * once)
    assert kept.work["b"] == pytest.approx(once + 4 * 2 * once)
    assert again.loads == 4 * 36
    last = total(WAYS[-1], ratios, 5, [ASKS], ASSUMED)
    assert last.loads == 36
    # Ten images on four GPUs: the fullest has three.
    assert imbalance(10, 4) == 1.2
    assert last.wall_hours(4) == pytest.approx((last.work["b"] * 1.2 / 4 + 36) / 3600)
    assert last.gpu_hours(4) == pytest.approx(4 * last.wall_hours(4))


def flat(each: float) -> Unit:
    return Unit(10, 100, each, each)


def test_what_breaks_first() -> None:
    names = ("read", "check", "score", "answers held", "readings held")
    answer = dict.fromkeys(names, flat(1e-3))
    rows = {"board": flat(0.5), "new folder": flat(0.01)}
    costs = StoreCosts(answer, answer, rows, flat(0.01), flat(0.02), 10, flat(1e-6),
                       0.01, 0.01, 0.001, 2, 1)  # fmt: skip
    found = limits(costs, [ASKS], 4, 5, 8)
    assert [limit.times for limit in found] == sorted(limit.times for limit in found)
    by = {limit.what.split(":")[0]: limit for limit in found}
    # An asker's row: half a second, and 60 answers of ten milliseconds.
    assert by["a board of all runs"].most == pytest.approx(HOUR / 1.1)
    assert by["a board of all runs"].times == pytest.approx(HOUR / 1.1 / 20)
    # The n-th asker looks through n folders: n^2 / 2 x 10 ms.
    assert by["all first starts together"].most == pytest.approx((2 * HOUR / 0.01) ** 0.5)
    assert by["open files"].most == 512
    assert by["files in an asker's folder, 8 shards"].now == "12 files"


def test_cost_of_one() -> None:
    unit = units({10: {"x": 30.0}, 2: {"x": 14.0}})["x"]
    assert (unit.small, unit.large, unit.at_small, unit.at_large) == (2, 10, 7.0, 3.0)
    assert unit.growth == 2.0 and unit.linear == pytest.approx(3 / 7)
    assert duration(90) == "90 s" and duration(600) == "10 min" and duration(9000) == "2.5 h"
    assert size(2500) == "2.5 kB" and size(3e12) == "3 TB"


def test_ratios_are_read_from_the_page_of_speed() -> None:
    page = (
        "## Methods against the baseline, batch 4\n\n| method | first | token | memory |\n|---|\n"
        "| agla | 2.37 (2.29 to 2.67) | 1.28 (1.14 to 1.35) | 1.31 |\n"
        "\n## Other\n| var | 9.00 (1 to 2) | 9.00 (1 to 2) | 1 |\n"
    )
    assert published(page) == {"agla": (2.37, 1.28)}
    assert "var" in published(planning.SPEED.read_text())


def test_sizes_are_the_cards() -> None:
    asked = benchmarks()
    assert len(asked) == 15
    assert all(0 < asks.images <= asks.distinct <= asks.questions for asks in asked)


@pytest.mark.slow
def test_the_bench_writes_the_page(tmp_path: Path) -> None:
    import typer

    app, output = typer.Typer(), tmp_path / "planning.md"
    app.command()(planning.main)
    done = CliRunner().invoke(app, ["--small", "--price", "1:2", "--output", str(output)])
    assert done.exit_code == 0, done.output
    page = output.read_text()
    for table in re.findall(r"(?:^\|.*\n)+", page, re.M):
        widths = {line.count("|") for line in table.splitlines()}
        assert len(widths) == 1, table
    assert "6,000 runs" in page and "$1 to $2" in page
    assert len(re.findall(r"^## ", page, re.M)) == 8
