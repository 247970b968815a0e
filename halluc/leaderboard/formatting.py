"""Titles, names and numbers as all tables show them, and which differences are decided.

Names may be those of somebody else's board: control characters in them are escaped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from halluc.leaderboard.board import kind_of_decoding
from halluc.plain_text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from halluc.leaderboard.board import Gap, Row, Value

ALPHA = 0.05
"""A difference is decided where its p-value, corrected over the board, is below this."""


class Estimate(Protocol):
    """A number with an interval; None or nan where undefined."""

    @property
    def value(self) -> float | None: ...  # noqa: D102
    @property
    def low(self) -> float | None: ...  # noqa: D102
    @property
    def high(self) -> float | None: ...  # noqa: D102


class Directed(Protocol):
    """A metric with the direction that is better; None where neither is."""

    @property
    def higher_is_better(self) -> bool | None: ...  # noqa: D102


def title(row: Row, seed: bool = True) -> str:
    """Describe what a table is about: benchmark, model, size, decoding with its seed, and dtype."""
    how = row.dtype if row.record is None else "recorded"
    if seed and row.record is None and kind_of_decoding(row) == "sampling":
        how = f"seed {row.decoding['seed']}, {how}"
    return printable(
        f"{row.benchmark} on {row.model}: {row.n} answers about {row.n_images} images, "
        f"{decoded(row)}, {how}; 95% intervals by image"
    )


def decoded(row: Row) -> str:
    """Describe a row's decoding."""
    kind = kind_of_decoding(row)
    names = {"beams": f"{row.decoding['num_beams']} beams", "greedy": "greedy decoding"}
    return names.get(kind, "decoding not stated" if kind == "not stated" else kind)


def labels(rows: Sequence[Row]) -> list[str]:
    """Name each row's method, with the parameters in which it differs from others of that name."""
    return [_label(row, [other for other in rows if other.method == row.method]) for row in rows]


def _label(row: Row, namesakes: Sequence[Row]) -> str:
    named = named_apart(row.method, row.method_args, [other.method_args for other in namesakes])
    text = printable(named)
    return text if row.baseline else f"{text} (no baseline)"


def named_apart(
    name: str, parameters: Mapping[str, Any], namesakes: Sequence[Mapping[str, Any]]
) -> str:
    """Name a method with the parameters in which it differs from others of that name."""
    differing = [
        f"{key}={value}"
        for key, value in parameters.items()
        if any(other.get(key) != value for other in namesakes)
    ]
    return f"{name} {','.join(differing)}".strip()


def headline(rows: Sequence[Row]) -> dict[str, Value]:
    """Return the metrics to show."""
    return {name: value for name, value in rows[0].metrics.items() if value.headline}


def with_arrow(name: str, higher_is_better: bool | None) -> str:
    """Return a metric's name with an arrow in the direction that is better, if one is."""
    return printable(name) + {True: " ↑", False: " ↓", None: ""}[higher_is_better]


def crosschecks(rows: Sequence[Row]) -> Iterator[tuple[str, list[str]]]:
    """Yield what other systems say of descriptions: a column's name, and a cell for each row.

    Scores of different evidence are different columns, with the first digits of their keys.
    """
    found = [row.crosscheck for row in rows]
    keys = list(dict.fromkeys(one.key for one in found if one is not None))
    for key in keys:
        alike = [None if one is None or one.key != key else one for one in found]
        scores = {
            "explicit": [None if one is None else one.explicit for one in alike],
            "implicit": [None if one is None else one.implicit for one in alike],
        }
        for kind, values in scores.items():
            if known := [value for value in values if value is not None]:
                name = f"crosscheck {kind}" + f" {key[:4]}" * (len(keys) > 1)
                cells = ["-" if value is None else interval(value, value.scale) for value in values]
                yield with_arrow(name, known[0].higher_is_better), cells


SELECTIVE = {
    "coverage": "answered, %",
    "risk": "errors among them, % ↓",
    "area": "area under risk-coverage, % ↓",
}


def selective(rows: Sequence[Row]) -> Iterator[tuple[str, list[str]]]:
    """Yield coverage, risk and the area under their curve, where a method withholds answers.

    A run whose method has no confidence is ordered by the model's own probability of its answer.
    """
    found = [row.selective for row in rows]
    if not any(one is not None and one.trusted_by == "method" for one in found):
        return
    for name, label in SELECTIVE.items():
        values: list[Value | None] = [None if one is None else getattr(one, name) for one in found]
        yield label, ["-" if value is None else interval(value, value.scale) for value in values]


def number(value: float | None, scale: float, sign: str = "") -> str:
    """Format a number, scaled; "-" where it is undefined."""
    if value is None or value != value:
        return "-"
    return f"{value * scale:{sign}.{digits(value, scale)}f}"


def interval(estimate: Estimate, scale: float, sign: str = "") -> str:
    """Format a number with its interval, scaled; "-" where it is undefined."""
    value, low, high = estimate.value, estimate.low, estimate.high
    text = number(value, scale, sign)
    if value is None or low is None or high is None or low != low or high != high:
        return text
    n = digits(value, scale)
    return f"{text} [{low * scale:{sign}.{n}f}, {high * scale:{sign}.{n}f}]"


def digits(value: float, scale: float) -> int:
    """Decimals to show: three for rates, one for scaled numbers and lengths."""
    return 3 if scale == 1.0 and abs(value) < 10 else 1


def better(gap: Gap, value: Directed) -> bool | None:
    """Return whether a decided difference is for the better; None where it is not decided."""
    if gap.holm is None or gap.holm >= ALPHA:
        return None
    return (gap.value > 0) == value.higher_is_better


def probability(p: float | None) -> str:
    """Format a p-value."""
    if p is None:
        return "-"
    return "<.001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


COSTS = ("passes a sample", "tokens a sample", "ms a sample", "peak memory, MB")


def costs(row: Row) -> Iterator[tuple[str, str]]:
    """Yield what a sample cost, and how many could not be scored: what is counted, and how many."""
    samples = row.cost["samples"]
    yield "failed / unparseable", f"{row.failed} / {row.unparseable}"
    if row.record is not None:  # nobody knows what they cost
        yield from ((name, "-") for name in COSTS)
        return
    spent = (
        f"{row.cost['forward_passes'] / samples:.1f}",
        f"{row.cost['tokens'] / samples:.1f}",
        f"{1000 * row.cost['seconds'] / samples:.1f}",
        f"{row.cost['peak_memory_bytes'] / 1e6:.0f}",
    )
    yield from zip(COSTS, spent, strict=True)
