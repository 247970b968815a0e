"""Models by methods: one table a benchmark, a row a method, a column a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from halluc.leaderboard.board import settings
from halluc.leaderboard.formatting import better, decoded, headline, interval, labels, with_arrow
from halluc.leaderboard.markdown_tables import escaped
from halluc.leaderboard.seed_spread import decoding_but_for_seed, spreads
from halluc.leaderboard.surviving_gains import over_seeds
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

    A model of which a benchmark ran in several settings (images, dtype) has a column for each;
    those that differ in their seed alone share one. A cell holds all headline metrics, so that
    CHAIR stands next to recall and length; and how many answers failed, could not be parsed or were
    withheld, where there are any.
    """
    groups: dict[tuple[str, str], dict[str, list[list[Row]]]] = {}
    for rows in settings(board):
        first = rows[0]
        decoding = decoding_but_for_seed(first)
        column = f"{first.model}, {first.n_images} images, {first.dtype}, {decoding}"
        models = groups.setdefault((first.benchmark, decoded(first)), {})
        models.setdefault(column, []).append(rows)
    tables = ["\n".join(_table(*of, list(models.values()))) for of, models in groups.items()]
    return "\n\n".join([LEGEND, *tables])


def _table(benchmark: str, decoding: str, models: list[list[list[Row]]]) -> Iterator[str]:
    """Yield a table's lines.

    Args:
        models: Of each column, of each seed, the rows of its methods.
    """
    yield f"**{escaped(printable(benchmark))}, {decoding}**\n"
    firsts = [seeds[0][0] for seeds in models]
    heads = [
        f"{row.model}{', recorded' * (row.record is not None)}, {row.n_images} images"
        for row in firsts
    ]
    if len(set(heads)) < len(heads):
        heads = [f"{head}, {row.dtype}" for head, row in zip(heads, firsts, strict=True)]
    pairs = zip(heads, models, strict=True)
    heads = [f"{head}, {len(s)} seeds" if len(s) > 1 else head for head, s in pairs]
    yield f"| method | {' | '.join(escaped(printable(head)) for head in heads)} |"
    yield "|---" * (1 + len(models)) + "|"
    named: list[dict[str, list[Row]]] = []
    for seeds in models:
        found: dict[str, list[Row]] = {}
        for rows in seeds:
            for label, row in zip(labels(rows), rows, strict=True):
                found.setdefault(label, []).append(row)
        named.append(found)
    for label in dict.fromkeys(label for found in named for label in found):
        cells = [_cell(found[label]) if label in found else "-" for found in named]
        yield f"| {escaped(label)} | {' | '.join(cells)} |"


def _cell(runs: list[Row]) -> str:
    """Show a method's metrics; of several seeds the mean, bold where all are decided alike."""
    lines = []
    for name, value in headline(runs[:1]).items():
        arrow = escaped(with_arrow(name, value.higher_is_better))
        gaps = [row.differences[name] for row in runs if name in row.differences]
        if not gaps:
            text = interval(value, value.scale) if len(runs) == 1 else next(spreads(runs, name))
        else:
            text = interval(gaps[0] if len(gaps) == 1 else over_seeds(gaps), value.scale, "+")
        verdicts = {better(gap, value) for gap in gaps}
        decided = len(verdicts) == 1 and None not in verdicts
        lines.append(f"{arrow} **{text}**" if decided else f"{arrow} {text}")
    for what in ("failed", "unparseable", "withheld"):
        if count := sum(getattr(row, what) for row in runs):
            lines.append(f"{count} {what}")
    return "<br>".join(lines)
