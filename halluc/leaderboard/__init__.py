"""Boards: pure functions of run folders."""

from halluc.leaderboard.board import Board, Row, of_decoding, of_models
from halluc.leaderboard.board_figure import draw_board
from halluc.leaderboard.board_file import read_board
from halluc.leaderboard.collecting import board_of, collect
from halluc.leaderboard.csv_file import write_csv
from halluc.leaderboard.gains_page import findings, verdicts
from halluc.leaderboard.markdown_tables import insert, markdown
from halluc.leaderboard.models_by_methods import overview
from halluc.leaderboard.terminal import render

__all__ = [
    "Board",
    "Row",
    "board_of",
    "collect",
    "draw_board",
    "findings",
    "insert",
    "markdown",
    "of_decoding",
    "of_models",
    "overview",
    "read_board",
    "render",
    "verdicts",
    "write_csv",
]
