"""Which gains survive: verdicts by hand, and the tables of a board with both decodings."""

from __future__ import annotations

from pathlib import Path

import pytest

from halluc.config import DecodingConfig
from halluc.errors import UserError
from halluc.leaderboard import Board, collect, findings, verdicts
from halluc.leaderboard.board import Gap, Value
from halluc.leaderboard.surviving_gains import (
    Gains,
    Over,
    gains,
    greedy_alone,
    least_over,
    over_seeds,
)
from halluc.scoring.bootstrap import Interval
from tests.kit.runs import write_run

FEWER = Value(
    value=0.2, low=0.1, high=0.3, stderr=0.05, higher_is_better=False, headline=True, scale=100.0
)


def gap(value: float, stderr: float = 0.01, holm: float | None = 1.0) -> Gap:
    low, high = value - 1.96 * stderr, value + 1.96 * stderr
    return Gap(value=value, low=low, high=high, stderr=stderr, p=0.5, effect=None, holm=holm)


def spread(value: float, stderr: float = 0.01) -> Interval:
    return Interval(value, value - 1.96 * stderr, value + 1.96 * stderr, stderr)


def over(value: float, stderr: float = 0.01) -> Over:
    return Over("pba", spread(value, stderr))


@pytest.mark.parametrize(
    ("greedy", "same_length", "over_greedy", "sampled", "over_sampled", "verdict"),
    [
        (gap(-0.1, holm=0.01), gap(-0.05), None, spread(-0.1), None, "survives"),
        (gap(-0.1, holm=0.01), None, None, None, None, "survives"),  # no descriptions
        (gap(-0.1, holm=0.01), None, over(-0.05), None, None, "survives"),
        (gap(-0.1, holm=0.01), None, over(-0.01), spread(-0.1), over(-0.1), "as a control"),
        (gap(-0.1, holm=0.01), gap(-0.01), None, None, None, "shorter only"),
        (gap(-0.1, holm=0.06), gap(-0.1), None, spread(-0.1), over(-0.1), "sampling only"),
        (gap(0.0), gap(0.0), None, spread(-0.1), over(-0.01), "sampling, as its control"),
        (gap(0.0), gap(0.0), None, spread(-0.1), None, "sampling, as its control"),
        (gap(0.1, holm=0.01), gap(0.1), None, spread(-0.1), over(-0.1), "worse"),
        (gap(0.1), gap(0.1), None, spread(-0.01), None, "undecided"),
        (None, None, None, spread(-0.1), over(-0.1), "sampling only"),
        (None, None, None, None, None, "undecided"),
    ],
)
def test_verdicts(
    greedy: Gap | None,
    same_length: Gap | None,
    over_greedy: Over | None,
    sampled: Interval | None,
    over_sampled: Over | None,
    verdict: str,
) -> None:
    assert Gains(greedy, same_length, over_greedy, sampled, over_sampled, FEWER).verdict == verdict


def test_a_control_is_never_more_than_one() -> None:
    greedy = Gains(gap(-0.1, holm=0.01), None, None, None, None, FEWER, control=True)
    assert greedy.verdict == "as a control"
    sampled = Gains(gap(0.0), None, None, spread(-0.1), over(-0.1), FEWER, control=True)
    assert sampled.verdict == "sampling, as its control"


def test_a_metric_that_shall_rise_turns_the_verdict() -> None:
    more = FEWER.model_copy(update={"higher_is_better": True})
    assert Gains(gap(0.1, holm=0.01), gap(0.1), None, None, None, more).verdict == "survives"
    assert Gains(gap(-0.1, holm=0.01), None, None, None, None, more).verdict == "worse"
    assert Gains(gap(0.0), None, None, spread(0.1), over(0.1), more).verdict == "sampling only"


def test_seeds_are_averaged_without_gaining_precision() -> None:
    found = over_seeds([gap(0.1, 0.02), gap(0.3, 0.04)])
    assert [found.value, found.stderr] == pytest.approx([0.2, 0.03])
    assert found.high == pytest.approx(0.2 + 1.96 * 0.03)


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Board:
    """Greedy runs, and sampled ones of two seeds that are worse all together."""
    folder: Path = tmp_path_factory.mktemp("runs")
    for seed in (None, 0, 1):
        drawn = DecodingConfig() if seed is None else DecodingConfig(do_sample=True, seed=seed)
        base = 0.1 if seed is None else 0.5
        write_run(folder, error=base, seed=seed or 0, decoding=drawn)
        write_run(folder, "apc", error=0.1, seed=seed or 0, decoding=drawn)
        write_run(folder, "vcd", error=0.1, seed=seed or 0, decoding=drawn)
        write_run(folder, "vhr", error=0.8, seed=seed or 0, decoding=drawn)
    write_run(folder, "var", error=0.0, decoding=DecodingConfig(num_beams=3))
    return collect([folder])


def test_gains_of_a_board(board: Board) -> None:
    rows = [row for row in board.rows if row.benchmark == "glyph_mme"]
    found = gains(rows, "total")
    assert list(found) == ["apc", "vcd", "vhr"]  # beams are left out
    vcd = found["vcd"]
    drawn = [row for row in rows if row.method == "vcd" and row.decoding["do_sample"]]
    each = [row.differences["total"].value for row in drawn]
    assert vcd.greedy is not None and vcd.greedy.value == 0
    assert vcd.sampled is not None and len(each) == 2
    assert vcd.sampled.value == pytest.approx(sum(each) / 2) and vcd.sampled.value > 0
    assert vcd.sampled_control is not None and vcd.sampled_control.control == "apc"
    apart = [row.over_controls["apc"]["total"] for row in drawn]
    assert vcd.sampled_control.gap == over_seeds(apart) and vcd.sampled_control.gap.value == 0
    assert found["apc"].sampled_control is None and found["apc"].control
    assert vcd.verdict == found["apc"].verdict == "sampling, as its control"
    assert found["vhr"].verdict == "worse"


def test_greedy_alone_is_what_the_baseline_gains_by_it(board: Board) -> None:
    rows = [row for row in board.rows if row.benchmark == "glyph_mme"]
    alone = greedy_alone(rows, "total")
    totals = {
        (row.decoding["do_sample"], row.decoding["seed"]): row.metrics["total"].value or 0.0
        for row in rows
        if row.method == "baseline"
    }
    assert alone is not None
    mean = (totals[True, 0] + totals[True, 1]) / 2
    assert alone.value == pytest.approx(totals[False, 0] - mean) and alone.low > 0
    assert greedy_alone([row for row in rows if not row.decoding["do_sample"]], "total") is None


def test_the_page_says_what_counts_and_names_every_method(board: Board) -> None:
    page = findings(board, {"glyph_mme": "total", "glyph_chair": "chair_i"})
    assert "**survives**: under greedy decoding" in page
    assert "## glyph\\_mme" not in page and "## glyph_mme, total ↑" in page
    assert "| vcd | sampling, as its control |" in page and "| vhr | worse |" in page
    assert "| *greedy decoding alone* | | | | +" in page
    greedy = "| method | greedy, over greedy | at equal length | over its strongest control |"
    sampled = " sampled, over sampling | over its strongest control | verdict |\n"
    assert greedy + sampled + "|---" * 7 + "|\n" in page
    with pytest.raises(UserError, match="glyph_mme: has no metric 'sum'"):
        findings(board, {"glyph_mme": "sum"})


def test_a_small_table_has_a_row_a_verdict(board: Board) -> None:
    table = verdicts(board, {"glyph_mme": "total"})
    assert table.startswith("**survives**: under greedy decoding")
    gaps = [gap for row in board.rows for gap in row.differences.values()]
    tests = len([gap for gap in gaps if gap.holm is not None])
    assert 0 < tests < len(gaps) and f"The board has {tests} tests.\n" in table
    assert table.endswith(
        "| | glyph_mme, total ↑ |\n|---|---|\n| sampling, as its control | apc, vcd |\n"
        "| worse | vhr |\n\nAll that is not named is undecided."
    )


def test_models_are_named_where_not_all_say_so(board: Board) -> None:
    mme = [row for row in board.rows if row.benchmark == "glyph_mme"]
    named = [row.model_copy(update={"model": "org/other"}) for row in mme if row.method != "vcd"]
    elsewhere = [row.model_copy(update={"benchmark": "other_mme"}) for row in mme]
    both = Board(rows=[*board.rows, *named, *elsewhere])
    assert verdicts(both, {"other_mme": "total"}).count("vcd") == 1
    two = verdicts(both, {"glyph_mme": "total", "other_mme": "total"})
    assert "| sampling, as its control | apc, vcd (org/model) | apc, vcd |\n" in two
    assert "| worse | vhr | vhr |" in two


def test_where_nothing_is_decided_there_is_no_row(board: Board) -> None:
    rows = [row for row in board.rows if row.method in ("baseline", "apc")]
    even = [row for row in rows if not row.decoding["do_sample"]]
    table = verdicts(Board(rows=even), {"glyph_mme": "total"})
    assert table.endswith("↑ |\n|---|---|\n\nAll that is not named is undecided.")


def test_what_leaning_towards_yes_gains_as_well_is_no_gain(tmp_path: Path) -> None:
    for name, error in (("baseline", 0.5), ("pba", 0.2), ("vcd", 0.2), ("vhr", 0.0)):
        write_run(tmp_path, name, error=error, limit=40)
    rows = [row for row in collect([tmp_path]).rows if row.benchmark == "glyph_mme"]
    vcd, vhr, pba = (gains(rows, "total")[name] for name in ("vcd", "vhr", "pba"))
    assert vcd.greedy_control is not None and vcd.greedy_control.control == "pba"
    assert vcd.verdict == pba.verdict == "as a control" and vhr.verdict == "survives"
    captions = [row for row in collect([tmp_path]).rows if row.benchmark == "glyph_chair"]
    assert not any(row.over_controls for row in captions)  # a hint to say yes is no control there


def test_the_control_gained_least_over_counts(board: Board) -> None:
    row = next(one for one in board.rows if one.benchmark == "glyph_mme")
    two = {"pba": {"total": gap(-0.3)}, "olm": {"total": gap(-0.1)}}
    rows = [row.model_copy(update={"over_controls": two})]
    falls, rises = (least_over(rows, "total", rises=up) for up in (False, True))
    assert falls is not None and falls.control == "olm"
    assert rises is not None and rises.control == "pba"
