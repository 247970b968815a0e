"""Corrections of a board's p-values for many tests, and its tie groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from halluc.errors import UserError
from halluc.leaderboard.board import Board, Gap, RightWrong, Row, Value, judged_metrics, settings
from halluc.plain_text import printable
from halluc.statistics import holm, tie_groups

if TYPE_CHECKING:
    from collections.abc import Sequence


def correct(board: Board) -> None:
    """Correct p-values over the whole board, and mark what cannot be told apart.

    Raises:
        UserError: If rows of one setting show other metrics.
    """
    for rows in settings(board):
        for row in rows[1:]:
            _refuse_other_metrics(rows[0], row)
    family: list[Gap] = []
    for row in board.rows:
        for name, gap in row.differences.items():
            gap.holm = gap.bh = None
            if name in judged_metrics(row):
                family.append(gap)
    adjust(family, [gap.p for gap in family])
    tests = [row.right_wrong for row in board.rows if row.right_wrong is not None]
    adjust(tests, [test.mid_p for test in tests])
    for rows in settings(board):
        for name in judged_metrics(rows[0]):
            _tie(rows, name)


def _refuse_other_metrics(first: Row, other: Row) -> None:
    """Refuse two rows of one table that do not show the same metrics in the same way."""
    shown, theirs = (
        {name: (v.higher_is_better, v.scale) for name, v in row.metrics.items() if v.headline}
        for row in (first, other)
    )
    if shown != theirs:
        name = next(
            n
            for n in (*shown, *theirs)
            if n not in shown or n not in theirs or shown[n] != theirs[n]
        )
        raise UserError(
            printable(
                f"{first.run} and {other.run} are of one setting, but not both show {name!r} of "
                f"{first.benchmark} in the same way; make their boards again with one halluc"
            )
        )


def adjust(tests: Sequence[Gap | RightWrong], p: Sequence[float]) -> None:
    """Correct the p-values of one family, by Holm and by Benjamini and Hochberg."""
    from scipy.stats import false_discovery_control

    if tests:
        for test, strict, lenient in zip(tests, holm(p), false_discovery_control(p), strict=True):
            test.holm, test.bh = float(strict), float(lenient)


def _tie(rows: Sequence[Row], name: str) -> None:
    """Give the rows of one setting their tie groups by one metric."""
    compared: list[tuple[Value, float, float]] = []
    for row in rows:
        value = row.metrics[name]
        value.tie_group = None
        if row.baseline == row.key:
            compared.append((value, 0.0, 0.0))
        elif gap := row.differences.get(name):
            better = gap.value if value.higher_is_better else -gap.value
            compared.append((value, better, gap.stderr or 0.0))
    groups = tie_groups([gap for _, gap, _ in compared], [stderr for *_, stderr in compared])
    for (value, *_), group in zip(compared, groups, strict=True):
        value.tie_group = group
