"""Boards: pure functions of run folders."""

from halluc.leaderboard.board import Board, Row
from halluc.leaderboard.board_figure import draw_board
from halluc.leaderboard.collecting import collect, read_board
from halluc.leaderboard.csv_file import write_csv
from halluc.leaderboard.readme_table import insert
from halluc.leaderboard.terminal import render

__all__ = ["Board", "Row", "collect", "draw_board", "insert", "read_board", "render", "write_csv"]
