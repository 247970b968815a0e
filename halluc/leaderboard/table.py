"""A board as tables for the terminal: metrics down, methods across, differences beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rich.markup import escape
from rich.table import Table

from halluc.leaderboard.board import Board, Row, Value, settings
from halluc.scoring.benchmark import REGISTRY as BENCHMARKS
from halluc.scoring.benchmark import Metric


def render(board: Board) -> Iterator[Table]:
    """One table for each benchmark and setting: rows of the board become columns."""
    for rows in settings(board):
        yield _table(rows)


def _table(rows: list[Row]) -> Table:
    card = BENCHMARKS.get(rows[0].benchmark).card
    table = Table(title=title(rows[0]), title_justify="left")
    table.add_column("")
    for row in rows:
        table.add_column(row.method, justify="right")
        if row.differences:
            table.add_column(f"{row.method} - greedy", justify="right")
    for metric in card.metrics:
        if metric.headline:
            table.add_row(arrowed(metric), *_cells(metric, rows))
    table.add_section()
    for label, cells in _costs(rows):
        table.add_row(label, *cells)
    return table


def _cells(metric: Metric, rows: list[Row]) -> Iterator[str]:
    for row in rows:
        yield _number(row.metrics[metric.name], metric.scale)
        if row.differences:
            yield _difference(row.differences[metric.name], metric)


def _number(value: Value, scale: float) -> str:
    if value.value is None:
        return "-"
    n = digits(scale, value.value)
    text = f"{value.value * scale:.{n}f}"
    if value.low is None or value.high is None:
        return text
    return f"{text} [{value.low * scale:.{n}f}, {value.high * scale:.{n}f}]"


def _difference(value: Value, metric: Metric) -> str:
    """Signed; green or red only where the interval leaves zero out."""
    if value.value is None or value.low is None or value.high is None:
        return "-"
    n = digits(metric.scale, value.value)
    low, high = value.low * metric.scale, value.high * metric.scale
    text = f"{value.value * metric.scale:+.{n}f} [{low:+.{n}f}, {high:+.{n}f}]"
    if low <= 0 <= high or metric.higher_is_better is None:
        return escape(text)
    better = (value.value > 0) == metric.higher_is_better
    return f"[{'green' if better else 'red'}]{escape(text)}[/]"


def title(row: Row) -> str:
    """What a table is about: benchmark, model, size, decoding and dtype."""
    decoding = "sampling" if row.decoding["do_sample"] else "greedy decoding"
    if row.decoding["num_beams"] > 1:
        decoding = f"{row.decoding['num_beams']} beams"
    return (
        f"{row.benchmark} on {row.model}: {row.n} answers about {row.n_images} images, "
        f"{decoding}, {row.dtype}; 95% intervals by image"
    )


def digits(scale: float, value: float) -> int:
    """Decimals to show: rates three, scaled ones and lengths one."""
    return 3 if scale == 1.0 and abs(value) < 10 else 1


def _costs(rows: list[Row]) -> Iterator[tuple[str, list[str]]]:
    """Counts and costs, a line each; a difference column stays empty but for ratios of seconds."""
    lines: dict[str, Callable[[Row], str]] = {
        "failed / unparseable": lambda row: f"{row.failed} / {row.unparseable}",
        "passes a sample": lambda row: f"{row.cost['forward_passes'] / row.cost['samples']:.1f}",
        "tokens a sample": lambda row: f"{row.cost['tokens'] / row.cost['samples']:.1f}",
        "ms a sample": lambda row: f"{1000 * row.cost['seconds'] / row.cost['samples']:.1f}",
        "peak memory, MB": lambda row: f"{row.cost['peak_memory_bytes'] / 1e6:.0f}",
    }
    for label, text in lines.items():
        cells: list[str] = []
        for row in rows:
            cells.append(text(row))
            if row.differences:
                cells.append("")
        yield label, cells


def arrowed(metric: Metric) -> str:
    """A metric's name with the direction that is better."""
    arrow = {True: " ↑", False: " ↓", None: ""}[metric.higher_is_better]
    return metric.name + arrow
