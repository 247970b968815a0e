"""Models by methods: a column a model, all headline metrics in a cell."""

from __future__ import annotations

from pathlib import Path

import pytest

from halluc.config import DecodingConfig
from halluc.errors import UserError
from halluc.leaderboard import Board, collect, of_decoding, of_models, overview
from halluc.leaderboard.formatting import interval
from halluc.leaderboard.surviving_gains import over_seeds
from tests.kit.runs import write_run


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Board:
    """Two models, one of which lacks a method, and a run that samples."""
    folder = tmp_path_factory.mktemp("runs")
    for model in ("org/one", "org/two"):
        write_run(folder, error=0.1, model=model)
        write_run(folder, "vhr", error=0.7, model=model)
    write_run(folder, "vmtc", error=0.1, model="org/two")
    write_run(folder, model="org/two", decoding=DecodingConfig(do_sample=True))
    return collect([folder])


def _cells(table: str, method: str) -> list[str]:
    (line,) = (line for line in table.splitlines() if line.startswith(f"| {method} |"))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def _table(board: Board, head: str) -> str:
    (table,) = (part for part in overview(board).split("\n\n**") if part.startswith(head))
    return table


def test_each_model_has_a_column_and_each_method_a_row(board: Board) -> None:
    table = _table(board, "glyph_chair, greedy decoding**")
    assert "| method | org/one, 12 images | org/two, 12 images |" in table
    assert _cells(table, "vmtc")[0] == "-"
    assert all(len(_cells(table, method)) == 2 for method in ("baseline", "vhr", "vmtc"))


def test_other_decodings_are_other_tables(board: Board) -> None:
    table = _table(board, "glyph_chair, sampling**")
    assert "| method | org/two, 12 images |" in table


def test_the_baseline_shows_values_and_methods_show_differences(board: Board) -> None:
    for benchmark, name, scale, arrow, bold in (
        ("glyph_chair", "chair_i", 100.0, "↓", ""),  # twelve images decide nothing
        ("glyph_mme", "total", 1.0, "↑", "**"),
    ):
        table = _table(board, f"{benchmark}, greedy decoding**")
        rows = {
            row.method: row
            for row in board.rows
            if (row.model, row.benchmark) == ("org/one", benchmark)
        }
        value = interval(rows["baseline"].metrics[name], scale)
        assert f"{name} {arrow} {value}" in _cells(table, "baseline")[0]
        gap = interval(rows["vhr"].differences[name], scale, "+")
        assert f" {bold}{gap}{bold}" in _cells(table, "vhr")[0]


def test_chair_is_never_without_recall_and_length(board: Board) -> None:
    for method in ("baseline", "vhr"):
        for cell in _cells(_table(board, "glyph_chair, greedy decoding**"), method):
            assert [line.split()[0] for line in cell.split("<br>")] == [
                "chair_s",
                "chair_i",
                "recall",
                "length",
            ]


def test_failed_and_unparseable_answers_are_counted(board: Board) -> None:
    row = board.rows[0].model_copy(update={"failed": 2, "unparseable": 3})
    table = overview(board.model_copy(update={"rows": [row]}))
    assert table.rstrip(" |").endswith("<br>2 failed<br>3 unparseable")


def test_seeds_share_a_column(tmp_path: Path) -> None:
    for seed in (0, 1):
        drawn = DecodingConfig(do_sample=True, seed=seed)
        write_run(tmp_path, error=0.2, seed=seed, decoding=drawn)
        write_run(tmp_path, "vhr", error=0.8, seed=seed, decoding=drawn)
    board = collect([tmp_path])
    table = _table(board, "glyph_mme, sampling**")
    assert "| method | org/model, 12 images, 2 seeds |" in table
    rows = [row for row in board.rows if (row.benchmark, row.method) == ("glyph_mme", "vhr")]
    gap = over_seeds([row.differences["total"] for row in rows])
    assert f"total ↑ **{interval(gap, 1.0, '+')}**" in _cells(table, "vhr")[0]
    assert " ± " in _cells(table, "baseline")[0]


def test_rows_of_some_models_keep_the_whole_boards_corrections(board: Board) -> None:
    some = of_models(board, ["org/one"])
    assert {row.model for row in some.rows} == {"org/one"}
    assert some.rows == [row for row in board.rows if row.model == "org/one"]
    assert of_models(board, []).rows == board.rows
    drawn = of_decoding(board, "sampling")
    assert {row.decoding["do_sample"] for row in drawn.rows} == {True}
    assert len(of_decoding(board, "greedy").rows) + len(drawn.rows) == len(board.rows)
    assert of_decoding(board, None).rows == board.rows
    with pytest.raises(UserError, match="'beams': not on this board, which has greedy, sampling"):
        of_decoding(board, "beams")
    with pytest.raises(UserError, match="'org/three': not on this board, which has org/one"):
        of_models(board, ["org/three"])
