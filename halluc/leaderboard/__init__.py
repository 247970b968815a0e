"""Boards: pure functions of run folders."""

from halluc.leaderboard.board import Board, Row, collect
from halluc.leaderboard.markdown import insert
from halluc.leaderboard.table import render

__all__ = ["Board", "Row", "collect", "insert", "render"]
