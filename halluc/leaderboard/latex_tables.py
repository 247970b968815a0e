r"""A board as LaTeX tables for a paper, with the rules of the package booktabs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from halluc.leaderboard.board import settings
from halluc.leaderboard.formatting import better, headline, interval, labels, number, title

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from halluc.leaderboard.board import Board, Row

_ARROWS = {True: r" $\uparrow$", False: r" $\downarrow$", None: ""}
_SPECIAL = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}  # fmt: skip


def latex(board: Board) -> str:
    r"""Return a table for each benchmark and setting, a row a method; needs \usepackage{booktabs}.

    A cell is the value; for a method with a baseline also the difference with its 95% interval,
    bold where it stays significant among all tested (Holm, .05).
    """
    return "\n".join("\n".join(_table(rows)) + "\n" for rows in settings(board))


def _table(rows: Sequence[Row]) -> Iterator[str]:
    shown = headline(rows)
    names = [latex_text(n) + _ARROWS[value.higher_is_better] for n, value in shown.items()]
    yield r"\begin{table}"
    yield r"\centering"
    yield rf"\caption{{{latex_text(title(rows[0]))}.}}"
    yield rf"\begin{{tabular}}{{l{'r' * len(names)}}}"
    yield r"\toprule"
    yield " & ".join(["method", *names]) + r" \\"
    yield r"\midrule"
    for row, label in zip(rows, labels(rows), strict=True):
        yield " & ".join([latex_text(label), *(_cell(row, name) for name in shown)]) + r" \\"
    yield r"\bottomrule"
    yield r"\end{tabular}"
    yield r"\end{table}"


def _cell(row: Row, name: str) -> str:
    value = row.metrics[name]
    gap = row.differences.get(name)
    if gap is None:
        return number(value.value, value.scale)
    text = interval(gap, value.scale, "+").replace("-", "$-$")
    shown = text if better(gap, value) is None else rf"\textbf{{{text}}}"
    return f"{number(value.value, value.scale)} ({shown})"


def latex_text(text: str) -> str:
    """Escape what LaTeX would take for a command."""
    return "".join(_SPECIAL.get(character, character) for character in text)
