"""Boards: pure functions of run folders."""

from halluc.leaderboard.board import Board, Row
from halluc.leaderboard.collect import collect, read
from halluc.leaderboard.figure import draw
from halluc.leaderboard.markdown import insert
from halluc.leaderboard.table import render
from halluc.leaderboard.tidy import write_csv

__all__ = ["Board", "Row", "collect", "draw", "insert", "read", "render", "write_csv"]
