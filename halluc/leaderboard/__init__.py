"""Boards: pure functions of run folders."""

from halluc.leaderboard.board import Board, Row
from halluc.leaderboard.board_figure import draw
from halluc.leaderboard.collecting import collect, read
from halluc.leaderboard.csv_file import write_csv
from halluc.leaderboard.readme_table import insert
from halluc.leaderboard.terminal import render

__all__ = ["Board", "Row", "collect", "draw", "insert", "read", "render", "write_csv"]
