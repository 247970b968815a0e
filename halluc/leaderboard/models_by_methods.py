"""Models by methods: one table a benchmark, a row a method, a column a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from halluc.leaderboard.board import settings
from halluc.leaderboard.formatting import better, decoded, headline, interval, labels, with_arrow
from halluc.leaderboard.markdown_tables import escaped
from halluc.plain_text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from halluc.leaderboard.board import Board, Row

LEGEND = (
    "Values of the baseline; of each method the difference to it, bold where it stays significant "
    "among all tested (Holm, .05). 95% intervals resample images; - where a model has no such row."
)


def overview(board: Board) -> str:
    """Return a legend, and one table for each benchmark and decoding.

    A model of which a benchmark ran in several settings (images, dtype) has a column for each. A
    cell holds all headline metrics, so that CHAIR stands beside recall and length; and how many
    answers failed or could not be parsed, where there are any.
    """
    groups: dict[tuple[str, str], list[list[Row]]] = {}
    for rows in settings(board):
        groups.setdefault((rows[0].benchmark, decoded(rows[0])), []).append(rows)
    tables = ["\n".join(_table(*of, models)) for of, models in groups.items()]
    return "\n\n".join([LEGEND, *tables])


def _table(benchmark: str, decoding: str, models: list[list[Row]]) -> Iterator[str]:
    yield f"**{escaped(printable(benchmark))}, {decoding}**\n"
    heads = [f"{rows[0].model}, {rows[0].n_images} images" for rows in models]
    if len(set(heads)) < len(heads):
        heads = [f"{head}, {rows[0].dtype}" for head, rows in zip(heads, models, strict=True)]
    yield f"| method | {' | '.join(escaped(printable(head)) for head in heads)} |"
    yield "|---" * (1 + len(models)) + "|"
    named = [dict(zip(labels(rows), rows, strict=True)) for rows in models]
    for label in dict.fromkeys(label for rows in named for label in rows):
        cells = [_cell(rows[label]) if label in rows else "-" for rows in named]
        yield f"| {escaped(label)} | {' | '.join(cells)} |"


def _cell(row: Row) -> str:
    lines = []
    for name, value in headline([row]).items():
        arrow = escaped(with_arrow(name, value.higher_is_better))
        gap = row.differences.get(name)
        text = interval(gap, value.scale, "+") if gap else interval(value, value.scale)
        decided = gap is not None and better(gap, value) is not None
        lines.append(f"{arrow} **{text}**" if decided else f"{arrow} {text}")
    for count, what in (
        (row.failed, "failed"),
        (row.unparseable, "unparseable"),
        (row.withheld, "withheld"),
    ):
        if count:
            lines.append(f"{count} {what}")
    return "<br>".join(lines)
