"""Paired differences of recorded runs as one picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from halluc.errors import UserError
from halluc.figure_files import write_figure
from halluc.leaderboard.formatting import ALPHA, with_arrow
from halluc.recorded.markdown_page import decoding_of, method_of
from halluc.recorded.paired import is_baseline

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from halluc.recorded.paired import PairedRecord

COLOURS = {True: "#0072B2", False: "#D55E00", None: "#777777"}
"""Better, worse and undecided, from Okabe and Ito's palette."""
_LEGEND = (
    "Recorded answers: difference to those they are compared with, 95% intervals by image.\n"
    "Blue better, orange worse: significant among all (Holm, .05); grey: not. Hollow: at equal "
    "length. * not stated to be decoded alike."
)


def draw_pairs(pairs: Sequence[PairedRecord], file: Path) -> None:
    """Draw a panel a metric for each benchmark, a line a pair.

    Raises:
        UserError: If there is no pair.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not pairs:
        raise UserError("--figure: no recorded run here has another to be compared with")
    groups: dict[str, list[PairedRecord]] = {}
    for pair in pairs:
        groups.setdefault(f"{pair.ours.name}, {pair.ours.scores.scoring.protocol}", []).append(pair)
    heights = [0.9 + 0.3 * len(group) for group in groups.values()]
    figure = Figure(figsize=(9.5, 0.6 + sum(heights)), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(_LEGEND, fontsize=8, x=0.01, ha="left", color="#555555")
    parts = figure.subfigures(len(groups), 1, squeeze=False, height_ratios=heights)[:, 0]
    for part, (title, group) in zip(parts, groups.items(), strict=True):
        part.suptitle(title, fontsize=9, x=0.01, ha="left")
        names = judged(group)
        panels = part.subplots(1, len(names), sharey=True, squeeze=False)[0]
        for panel, name in zip(panels, names, strict=True):
            _panel(panel, group, name)
    write_figure(figure, file)


def judged(pairs: Sequence[PairedRecord]) -> list[str]:
    """List the headline metrics with a direction that a pair has a difference of, at most four."""
    names = (
        name
        for pair in pairs
        for name, value in pair.metrics.items()
        if value.higher_is_better is not None and value.value is not None
    )
    return list(dict.fromkeys(names))[:4]


def _panel(panel: Axes, pairs: Sequence[PairedRecord], name: str) -> None:
    for line, pair in enumerate(pairs):
        value, gap = pair.metrics[name], pair.differences.get(name)
        if gap is None or value.value is None:
            continue
        decided = gap.holm is not None and gap.holm < ALPHA
        colour = COLOURS[(gap.value > 0) == value.higher_is_better if decided else None]
        marks = ((gap, 0.0, colour), (pair.same_length.get(name), 0.3, "white"))
        for estimate, shift, face in marks:
            if estimate is None or estimate.low is None or estimate.high is None:
                continue
            ends = estimate.low * value.scale, estimate.high * value.scale
            panel.hlines(line + shift, *ends, color=colour, lw=0.8 if shift else 1.8)
            size = 3 if shift else 4.5
            panel.plot(
                estimate.value * value.scale, line + shift, "o", color=colour, ms=size, mfc=face
            )
        panel.set_title(with_arrow(name, value.higher_is_better), fontsize=8)
    panel.axvline(0, color="#333333", lw=0.8, zorder=0)
    panel.set_yticks(range(len(pairs)), [_label(pair) for pair in pairs], fontsize=7)
    panel.set_ylim(len(pairs) - 0.3, -0.6)
    panel.margins(x=0.08)
    panel.tick_params(axis="x", labelsize=7)
    panel.tick_params(axis="y", length=0)
    panel.spines[["top", "right", "left"]].set_visible(False)


def _label(pair: PairedRecord) -> str:
    ours, theirs = (
        decoding_of(one) if is_baseline(one) else method_of(one) for one in (pair.ours, pair.theirs)
    )
    model = pair.ours.run.asker.model.name
    return f"{model} {ours}, against {theirs}{'' if pair.alike else ' *'}".replace("$", r"\$")
