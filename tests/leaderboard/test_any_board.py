"""Whatever a board's file holds: one line of complaint, or a board that everything can show."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from halluc.config import DecodingConfig
from halluc.leaderboard import Board, collect, insert, render, write_csv
from halluc.leaderboard.board_file import read_board, write_board
from halluc.leaderboard.corrections import correct
from halluc.leaderboard.markdown_tables import END, START, markdown
from tests.kit.any_file import FEW, MANY, Reader, survives
from tests.kit.runs import write_run


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """A board of a baseline and a method, greedy and drawn with two seeds."""
    folder = tmp_path_factory.mktemp("runs")
    drawn = [DecodingConfig(do_sample=True, seed=seed) for seed in (1, 2)]
    for decoding in (DecodingConfig(), *drawn):
        write_run(folder, error=0.1, decoding=decoding, benchmarks=("glyph_chair",))
        write_run(folder, "vhr", error=0.7, decoding=decoding, benchmarks=("glyph_chair",))
    content = collect([folder]).model_dump_json()
    return Reader("board", {"board.json": content}, "board.json", shown, is_lasting)


def shown(folder: Path) -> tuple[Board, Board]:
    """Read a board, show it in every way, and read what is written of it."""
    board = read_board(folder / "board.json")
    write_board(board, folder / "again.json")
    again = read_board(folder / "again.json")
    correct(board)
    console = Console(file=io.StringIO(), force_terminal=True)
    for table in render(board):
        console.print(table)
    write_csv(board, folder / "board.csv")
    (folder / "README.md").write_text(f"{START}\n{END}\nafter")
    insert(markdown(board), folder / "README.md")
    insert(markdown(board), folder / "README.md")
    text = (folder / "README.md").read_text()
    assert text.count(END) == text.count(START) == 1
    assert text.endswith(f"{END}\nafter")
    return read_board(folder / "board.json"), again


def is_lasting(boards: tuple[Board, Board]) -> bool:
    return boards[0] == boards[1]


def test_any_board_is_shown_or_refused_in_one_line(reader: Reader) -> None:
    survives(reader, 4 * FEW)


@pytest.mark.slow
def test_many_a_board_is_shown_or_refused_in_one_line(reader: Reader) -> None:
    survives(reader, MANY)
