"""A board as one picture: what each method changes, with intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from halluc.errors import UserError
from halluc.figure_files import BLUE, GREEN, GREY, ORANGE, write_figure
from halluc.leaderboard.board import judged_metrics, settings
from halluc.leaderboard.formatting import better, interval, labels, title, with_arrow

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from halluc.leaderboard.board import Board, Row, Value

_COLOURS = {True: GREEN, False: ORANGE, None: GREY}
_MARKS = {True: "o", False: "s", None: "D"}
_LEGEND = (
    "Difference to the baseline, 95% intervals. Green circle better, orange square worse:\n"
    "significant over the board (Holm, .05); grey diamond: not. Hollow blue: at equal length."
)
_LEAST = 0.01
"""What an axis spans at least, as a share of a metric's whole: one point of 100."""


def draw_board(board: Board, file: Path) -> None:
    """Draw a panel a headline metric: each method's difference to its baseline, 95% intervals.

    A green circle is better and an orange square worse, where the difference stays significant
    over the board; a hollow mark below is the same difference at equal length. The file's ending
    says whether it is a PNG, PDF or SVG.

    Raises:
        ImportError: If matplotlib is not installed.
        UserError: If no run has a baseline.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [rows for rows in settings(board) if any(row.differences for row in rows)]
    shown = [rows for rows in shown if judged_metrics(rows[0])]
    if not shown:
        raise UserError("--figure: no run here has a baseline to be compared with")
    names = [judged_metrics(rows[0]) for rows in shown]
    heights = [1.15 + 0.24 * sum(bool(row.differences) for row in rows) for rows in shown]
    width = 1.5 + 1.9 * max(3, *map(len, names))
    figure = Figure(figsize=(width, 0.4 + sum(heights)), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(_LEGEND, fontsize=8, x=0.01, ha="left", color=_COLOURS[None])
    parts = figure.subfigures(len(shown), 1, squeeze=False, height_ratios=heights)[:, 0]
    for part, rows, metrics in zip(parts, shown, names, strict=True):
        part.suptitle(_plain(title(rows[0])), fontsize=8, x=0.01, ha="left")
        panels = part.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
        for panel, name in zip(panels, metrics, strict=True):
            _panel(panel, rows, name)
    write_figure(figure, file)


def _plain(text: str) -> str:
    """Escape what would be drawn as a formula."""
    return text.replace("$", r"\$")


def _panel(panel: Axes, rows: Sequence[Row], name: str) -> None:
    compared = [(r, label) for r, label in zip(rows, labels(rows), strict=True) if r.differences]
    base = next((row for row in rows if row.baseline == row.key), None)
    for line, (row, _) in enumerate(compared):
        value = row.metrics[name]
        for gap, shift, face in (
            (row.differences.get(name), 0.0, None),
            (row.same_length.get(name), 0.28, "white"),
        ):
            if gap is None:
                continue
            decided = better(gap, value)
            colour = _COLOURS[decided] if face is None else BLUE
            if gap.low is not None and gap.high is not None:
                ends = gap.low * value.scale, gap.high * value.scale
                panel.hlines(line + shift, *ends, color=colour, lw=1.6 if face is None else 0.8)
            size = 4 if face is None else 3
            panel.plot(
                gap.value * value.scale,
                line + shift,
                _MARKS[decided] if face is None else "o",
                color=colour,
                ms=size,
                mfc=face or colour,
            )
    panel.axvline(0, color="#333333", lw=0.8, zorder=0)
    panel.set_yticks(range(len(compared)), [_plain(label) for _, label in compared], fontsize=8)
    panel.margins(x=0.08)
    value = (base or rows[0]).metrics[name]
    _widened(panel, value)
    panel.set_ylim(len(compared) - 0.4, -0.6)
    panel.tick_params(axis="x", labelsize=7)
    panel.spines[["top", "right", "left"]].set_visible(False)
    panel.tick_params(axis="y", length=0)
    panel.set_xlabel(_direction(value), fontsize=7, labelpad=1)
    unchanged = "" if base is None else f"\nbaseline {interval(value, value.scale)}"
    heading = _plain(with_arrow(name, value.higher_is_better))
    panel.set_title(heading + unchanged, fontsize=7)


def _widened(panel: Axes, value: Value) -> None:
    """Let an axis span at least one point of 100, so that no difference looks like one."""
    least = _LEAST * max(value.scale, abs(value.value or 0.0) * value.scale)
    low, high = panel.get_xlim()
    if high - low < least:
        middle = (low + high) / 2
        panel.set_xlim(middle - least / 2, middle + least / 2)


def _direction(value: Value) -> str:
    """Say in which direction a difference is better, and its unit where it has one."""
    unit = "% points" if value.scale == 100 else ""
    side = {True: "better →", False: "← better", None: ""}[value.higher_is_better]
    return ", ".join(filter(None, (unit, side) if value.higher_is_better else (side, unit)))
