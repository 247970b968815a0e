"""A finished cross-check in rows: what tables, the page and JSON show of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from halluc.crosscheck.running import SCORES, TRUTH, CrossCheck
from halluc.data.records import finite
from halluc.leaderboard.formatting import interval, number, with_arrow
from halluc.plain_text import printable
from halluc.scoring.crosscheck.verdict_scores import KINDS

if TYPE_CHECKING:
    from rich.table import Table

LABELS = {
    "cross": "",
    "with_self": ", with itself",
    "other_models": ", other models",
    "self": ", itself alone",
}
"""How tables call the evidence that counts, after the kind of score."""


def label(score: str) -> str:
    """Name a score: "explicit, with itself"."""
    kind, _, view = score.partition("_")
    return score if score == TRUTH else kind + LABELS[view]


def shown(found: CrossCheck) -> list[str]:
    """List the scores that any target has, then what they are correlated with."""
    names = {name for one in found.targets for name in one.scores}
    return [name for name in (*SCORES, TRUTH) if name in names]


def target_rows(found: CrossCheck, names: list[str], brief: bool = False) -> Iterator[list[str]]:
    """Yield a line a target: its name, its sentences, and scores in percent with intervals.

    Args:
        brief: Show intervals only of what counts most.
    """
    for one in found.targets:
        counted = " / ".join(str(one.sentences[kind]) for kind in KINDS)
        cells = []
        for name in names:
            value = one.scores.get(name)
            if value is not None and brief and name.partition("_")[2] in ("with_self", "self"):
                cells.append(number(value.value, 100))
            else:
                cells.append("-" if value is None else interval(value, 100))
        yield [printable(one.system), counted, *cells]


def target_head(found: CrossCheck, names: list[str]) -> list[str]:
    """Return the heads of those columns."""
    better = {name: name != TRUTH and found.higher_is_better for name in names}
    return ["system", "sentences", *(with_arrow(label(n), better[n]) for n in names)]


CORRELATION_HEAD = ["score", "systems", "n", "Spearman", "Kendall"]


def correlation_rows(found: CrossCheck) -> Iterator[list[str]]:
    """Yield a line a correlation with CHAIR: of all systems, then of each model's."""
    for one in found.correlations:
        about = "all" if one.model is None else printable(one.model)
        both = (interval(value, 1) for value in (one.found.spearman, one.found.kendall))
        yield [label(one.score), about, str(one.found.n), *both]


def render(found: CrossCheck) -> Iterator[Table]:
    """Yield tables for the terminal: both kinds of scores, then correlations."""
    from rich.table import Table
    from rich.text import Text

    titles = {kind: f"Cross-check, {kind}, in %" for kind in KINDS}
    titles[KINDS[0]] += f": {about(found)}"
    for kind, title in titles.items():
        names = [name for name in shown(found) if name == TRUTH or name.startswith(kind)]
        table = Table(title=Text(title), title_justify="left")
        yield _filled(table, target_head(found, names), target_rows(found, names, brief=True))
    if found.correlations:
        title = f"Rank correlation with {TRUTH}; 95% intervals by image"
        table = Table(title=Text(title), title_justify="left")
        yield _filled(table, CORRELATION_HEAD, correlation_rows(found))


def _filled(table: Table, head: list[str], rows: Iterator[list[str]]) -> Table:
    from rich.text import Text

    for place, name in enumerate(head):
        first = place == 0
        table.add_column(Text(name), justify="left" if first else "right", no_wrap=first)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def about(found: CrossCheck) -> str:
    """Describe how it was made, in a line."""
    rule = found.rule
    passages = f"{rule.samples_per_model} passages each at temperature {rule.temperature:g}"
    judge = "named objects compared" if rule.judge == "objects" else f"judge {rule.judge}"
    return printable(
        f"{found.config.benchmark}, {found.n_images} images, evidence {', '.join(rule.evidence)}, "
        f"{passages}, {judge}, variant {rule.variant}"
    )


def as_json(found: CrossCheck) -> dict[str, Any]:
    """Describe a cross-check as JSON can hold it; scores are between 0 and 1."""
    content: dict[str, Any] = finite(
        {
            "benchmark": found.config.benchmark,
            "limit": found.config.limit,
            "n_images": found.n_images,
            "key": found.rule.key,
            "rule": found.rule.model_dump(mode="json"),
            "higher_is_better": found.higher_is_better,
            "targets": [
                {
                    "system": str(one.system),
                    "run": one.scored.run.path.name,
                    "sentences": one.sentences,
                    "scores": {name: vars(value) for name, value in one.scores.items()},
                }
                for one in found.targets
            ],
            "correlations": [
                {
                    "score": one.score,
                    "with": TRUTH,
                    "model": one.model,
                    "n": one.found.n,
                    "spearman": vars(one.found.spearman),
                    "kendall": vars(one.found.kendall),
                }
                for one in found.correlations
            ],
        }
    )
    return content
