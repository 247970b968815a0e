"""Two runs or answers files compared, on the terminal: tables, and one sentence as the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from halluc.leaderboard.formatting import (
    better,
    interval,
    named_apart,
    number,
    probability,
    with_arrow,
)
from halluc.plain_text import printable
from halluc.store import RunFolder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from halluc.leaderboard.board import Gap
    from halluc.leaderboard.run_comparison import Compared, Pair

WIDE = 100
"""The number of characters from which p-values before correction and effect sizes are shown."""

_LONGEST = 14


class Names(NamedTuple):
    """What two compared things are called, in full and where columns are narrow."""

    ours: str
    theirs: str

    @property
    def short(self) -> tuple[str, str]:
        """The names as columns have them: A and B where one is long."""
        return self if max(map(len, self)) <= _LONGEST else ("A", "B")


def names_of(ours: Path, theirs: Path) -> Names:
    """Name two runs by method, or parameters or folders where the methods are one; or files."""
    names = [path.name or str(path) for path in (ours, theirs)]
    if ours.is_dir() and theirs.is_dir():
        methods = [RunFolder.read(path).asker.method for path in (ours, theirs)]
        named = [method.name for method in methods]
        if named[0] == named[1]:
            params = [method.resolved | method.params for method in methods]
            named = [named_apart(named[0], one, params) for one in params]
        names = named if named[0] != named[1] else names
    if names[0] == names[1]:
        names = [str(ours), str(theirs)]
    return Names(*map(printable, names))


def tables(pairs: Mapping[str, Pair], names: Names, width: int) -> Iterator[Table | Text]:
    """Yield tables of headline metrics, a line each, and of McNemar's test.

    Args:
        width: Of the window in characters; a narrow one has no room for the p-values before
            correction, Benjamini and Hochberg's, and the effect size.
    """
    if names.short != names:
        yield Text(f"A is {names.ours}\nB is {names.theirs}")
    for name, pair in pairs.items():
        yield _metrics(name, pair, names, width >= WIDE)
        if (test := pair.right_wrong) is not None:
            title = Text("right or wrong, McNemar", "table.title")
            line = Table(title=title)
            ours, theirs = names.short
            for column in (
                f"only {ours} right",
                f"only {theirs} right",
                "exact p",
                "mid-p",
                "odds",
            ):
                line.add_column(Text(column), justify="right")
            odds = "-" if test.odds_ratio is None else f"{test.odds_ratio:.2f}"
            p = (probability(test.exact), probability(test.mid_p))
            line.add_row(str(test.only_ours), str(test.only_theirs), *p, odds)
            yield line


def _metrics(name: str, pair: Pair, names: Names, wide: bool) -> Table:
    title = f"{name}: {pair.n} answers about {pair.n_images} images, {' minus '.join(names.short)}"
    table = Table(title=Text(title, "table.title"))
    columns = (*names.short, "difference, 95%", "p, Holm", *("p", "p, BH", "effect") * wide)
    table.add_column("")
    for column in columns:
        table.add_column(Text(column), justify="right")
    for metric, both in pair.metrics.items():
        if both.headline:
            values = (number(value, both.scale) for value in (both.ours, both.theirs))
            label = Text(with_arrow(metric, both.higher_is_better))
            table.add_row(label, *values, *_cells(both.difference, both, wide))
            if both.same_length and both.higher_is_better is not None:
                table.add_row("  at equal length", "", "", *_cells(both.same_length, both, wide))
    return table


def _cells(gap: Gap | None, both: Compared, wide: bool) -> Iterator[str]:
    if gap is None:
        return
    text = escape(interval(gap, both.scale, "+"))
    colour = {True: "green", False: "red", None: None}[better(gap, both)]
    yield f"[{colour}]{text}[/]" if colour else text
    yield probability(gap.holm)
    if wide:
        yield probability(gap.p)
        yield probability(gap.bh)
        yield "-" if gap.effect is None else f"{gap.effect:+.2f}"


def verdict(pairs: Mapping[str, Pair], names: Names) -> str:
    """Say in one sentence what is better, what is worse, and what cannot be told apart."""
    judged = [
        (f"{metric} of {name}", both)
        for name, pair in pairs.items()
        for metric, both in pair.metrics.items()
        if both.headline and both.higher_is_better is not None and both.difference
    ]
    parts, decided = [], 0
    for word, wanted in (("better", True), ("worse", False)):
        said = [
            f"{label} ({_gain(both)})"
            for label, both in judged
            if both.difference and better(both.difference, both) is wanted
        ]
        decided += len(said)
        if said:
            parts.append(f"{word} in {', '.join(said)}")
    ours, theirs = names.short
    if not parts:
        return (
            f"Verdict: {ours} cannot be told from {theirs} in any of {len(judged)} metrics "
            "(Holm, 5%)."
        )
    if left := len(judged) - decided:
        parts.append(f"not to be told apart in {left} other metric{'s' * (left > 1)}")
    return f"Verdict: {ours} against {theirs} is {'; '.join(parts)} (Holm, 5%)."


def _gain(both: Compared) -> str:
    gap = both.difference
    assert gap is not None
    p = probability(gap.holm)
    return f"{interval(gap, both.scale, '+')}, p {p if p[0] == '<' else '= ' + p}"
