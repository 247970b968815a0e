"""What tables on the terminal and in markdown share: names, numbers, and what is decided."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from halluc.leaderboard.board import Gap, Row, Value

LEVEL = 0.05


def title(row: Row) -> str:
    """What a table is about: benchmark, model, size, decoding and dtype."""
    decoding = "sampling" if row.decoding["do_sample"] else "greedy decoding"
    if row.decoding["num_beams"] > 1:
        decoding = f"{row.decoding['num_beams']} beams"
    return (
        f"{row.benchmark} on {row.model}: {row.n} answers about {row.n_images} images, "
        f"{decoding}, {row.dtype}; 95% intervals by image"
    )


def labels(rows: Sequence[Row]) -> list[str]:
    """A row's method, with the parameters in which it differs from others of that name."""
    return [_label(row, [other for other in rows if other.method == row.method]) for row in rows]


def _label(row: Row, namesakes: Sequence[Row]) -> str:
    differing = [
        f"{key}={value}"
        for key, value in row.method_args.items()
        if any(other.method_args.get(key) != value for other in namesakes)
    ]
    text = f"{row.method} {','.join(differing)}".strip()
    return text if row.baseline else f"{text} (no baseline)"


def headline(rows: Sequence[Row]) -> dict[str, Value]:
    """The metrics to show."""
    return {name: value for name, value in rows[0].metrics.items() if value.headline}


def arrowed(name: str, value: Value) -> str:
    """A metric's name with the direction that is better."""
    return name + {True: " ↑", False: " ↓", None: ""}[value.higher_is_better]


def interval(number: Value | Gap, scale: float, sign: str = "") -> str:
    """A number with its interval, scaled; "-" where it is undefined."""
    if number.value is None:
        return "-"
    n = digits(number.value, scale)
    text = f"{number.value * scale:{sign}.{n}f}"
    if number.low is None or number.high is None:
        return text
    return f"{text} [{number.low * scale:{sign}.{n}f}, {number.high * scale:{sign}.{n}f}]"


def digits(value: float, scale: float) -> int:
    """Decimals to show: rates three, scaled ones and lengths one."""
    return 3 if scale == 1.0 and abs(value) < 10 else 1


def better(gap: Gap, value: Value) -> bool | None:
    """Whether a difference that stays significant over the board is for the better; else None."""
    if gap.holm is None or gap.holm >= LEVEL:
        return None
    return (gap.value > 0) == value.higher_is_better


def probability(p: float | None) -> str:
    """A p-value, short."""
    if p is None:
        return "-"
    return "<.001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def costs(row: Row) -> Iterator[tuple[str, str]]:
    """What a sample cost, and what could not be scored."""
    samples = row.cost["samples"]
    yield "failed / unparseable", f"{row.failed} / {row.unparseable}"
    yield "passes a sample", f"{row.cost['forward_passes'] / samples:.1f}"
    yield "tokens a sample", f"{row.cost['tokens'] / samples:.1f}"
    yield "ms a sample", f"{1000 * row.cost['seconds'] / samples:.1f}"
    yield "peak memory, MB", f"{row.cost['peak_memory_bytes'] / 1e6:.0f}"
