"""What `halluc score` prints."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rich.console import Group
    from rich.table import Table

    from halluc.store.rescoring_runs import Rescored


def as_json(found: Sequence[Rescored]) -> dict[str, Any]:
    """Describe rescored benchmarks as JSON can hold them.

    Returns:
        A benchmark's name to "protocols", a protocol's name to its scores, "notes", "labels" where
        other labels were used, and "probabilities" where there are any. Several sets of samples of
        one benchmark are told apart by their number of images.
    """
    described = {}
    for one in found:
        name, first = one.asked.benchmark, next(iter(one.scores.values()))
        if sum(other.asked.benchmark == name for other in found) > 1:
            name += f" on {first.n_images} images ({one.asked.key})"
        described[name] = {
            "protocols": {
                key: scores.model_dump(
                    include={"values", "n", "n_images", "failed", "unparseable", "totals"}
                )
                for key, scores in one.scores.items()
            },
            "notes": list(dict.fromkeys(n for s in one.scores.values() for n in s.notes)),
            **({"labels": first.scoring.labels} if first.scoring.labels else {}),
            **({"probabilities": first.probabilities} if first.probabilities else {}),
        }
    return described


def tables(scores: Mapping[str, Any]) -> Iterator[Group]:
    """Yield a table for each benchmark, with a column for each protocol, and its notes.

    Args:
        scores: Of `as_json`, or of `halluc.scoring.rescoring.score_answers_file`.
    """
    if "metrics" in scores:
        yield _file_table(scores)
        return
    for name, benchmark_scores in scores.items():
        protocols = benchmark_scores["protocols"]
        first = next(iter(protocols.values()))
        table = _table(protocols)
        for metric in first["values"]:
            cells = (protocols[key]["values"].get(metric, {}).get("value") for key in protocols)
            table.add_row(metric, *map(_number, cells))
        table.add_row("unparseable", *(str(protocols[key]["unparseable"]) for key in protocols))
        title = f"{name}, {first['n']} answers"
        if "labels" in benchmark_scores:
            title += f", other labels of {', '.join(benchmark_scores['labels'])}"
        yield _titled(title, table, benchmark_scores["notes"])


def _file_table(scores: Mapping[str, Any]) -> Group:
    table = _table([scores["protocol"]])
    for metric, value in scores["metrics"].items():
        parts = value if isinstance(value, dict) else {"": value}
        for part, number in parts.items():
            table.add_row(f"{metric}/{part}".rstrip("/"), _number(number))
    table.add_row("unparseable", str(scores["unparseable"]))
    return _titled(f"{scores['benchmark']}, {scores['n']} answers", table, scores["notes"])


def _table(protocols: Iterable[str]) -> Table:
    from rich.table import Table

    table = Table("")
    for protocol in protocols:
        table.add_column(protocol, justify="right")
    return table


def _titled(title: str, table: Table, notes: Sequence[str]) -> Group:
    from rich.console import Group
    from rich.text import Text

    return Group(Text(title, style="italic"), table, *map(Text, notes))


def _number(value: Any) -> str:
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.4f}"
    return "-" if value is None else str(value)
