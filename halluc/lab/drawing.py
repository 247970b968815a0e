"""Parts of figures: colours that colour-blind readers tell apart, lines with intervals, heat maps.

The colours are Okabe and Ito's (Color Universal Design, 2008); shapes differ as well, for print.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from halluc.lab.base import Finding
    from halluc.scoring.bootstrap import Interval

COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""The first is the baseline's."""
MARKERS = "osD^vPX"


def style(number: int) -> dict[str, Any]:
    """Return colour and marker of the series with this number; 0 is the baseline.

    The baseline's marker is a ring around what others draw in the same place.
    """
    shape = {"ms": 5.0} if number else {"ms": 9.0, "mfc": "none"}
    return {
        "color": COLOURS[number % len(COLOURS)],
        "marker": MARKERS[number % len(MARKERS)],
        **shape,
    }


def line(
    panel: Axes,
    x: Sequence[float],
    y: Sequence[Interval],
    number: int,
    label: str,
    scale: float = 1,
) -> None:
    """Draw a series with the band of its 95% intervals.

    Args:
        number: Of the series; 0 is the baseline.
        scale: What values are multiplied by: 100 for percent.
    """
    values = ([v * scale for v in part] for part in _parts(y))
    middle, low, high = values
    panel.plot(x, middle, label=label, lw=1.4, **style(number))
    panel.fill_between(x, low, high, color=COLOURS[number % len(COLOURS)], alpha=0.15, lw=0)


def points(
    panel: Axes, y: Sequence[Interval], number: int, of: int, label: str, scale: float = 1
) -> None:
    """Draw a series of dots with their 95% intervals at x = 0, 1, 2, ..., next to other series.

    Args:
        number: Of the series; 0 is the baseline.
        of: How many series there are.
        scale: What values are multiplied by: 100 for percent.
    """
    x = [place + (number - (of - 1) / 2) * 0.6 / of for place in range(len(y))]
    middle, low, high = ([v * scale for v in part] for part in _parts(y))
    panel.vlines(x, low, high, color=COLOURS[number % len(COLOURS)], lw=1.4)
    panel.plot(x, middle, ls="", label=label, **style(number))


def bars(panel: Axes, labels: Sequence[str], y: Sequence[Interval], scale: float = 1) -> None:
    """Draw a dot with its 95% interval for each label, one below the other; the first on top."""
    places = range(len(labels))
    middle, low, high = ([v * scale for v in part] for part in _parts(y))
    for place, value, left, right in zip(places, middle, low, high, strict=True):
        panel.plot([left, right], [place, place], color=style(place)["color"], lw=1.6)
        panel.plot(value, place, **style(place))
    panel.set_yticks(places, labels)
    panel.invert_yaxis()


def plain(panel: Axes, x: str, y: str, title: str = "") -> None:
    """Label both axes, with units, and take away what frames them."""
    panel.set_xlabel(x)
    panel.set_ylabel(y)
    panel.set_title(title, fontsize=9)
    panel.spines[["top", "right"]].set_visible(False)


def legend(figure: Figure, panel: Axes) -> None:
    """Name a panel's series above all panels, where nothing is covered."""
    handles, labels = panel.get_legend_handles_labels()
    style: dict[str, Any] = {"frameon": False, "fontsize": 8, "ncols": max(1, len(labels))}
    figure.legend(handles, labels, loc="outside upper center", **style)


def save(finding: Finding, file: Path) -> None:
    """Draw a finding's figure into a PNG.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=finding.size, layout="constrained")
    FigureCanvasAgg(figure)
    finding.draw(figure)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=130, metadata={"Software": None})


def _parts(series: Iterable[Interval]) -> tuple[list[float], list[float], list[float]]:
    """Split intervals into values and bounds; a bound that is undefined is the value."""
    values, lows, highs = [], [], []
    for one in series:
        values.append(one.value)
        lows.append(one.low if one.low == one.low else one.value)
        highs.append(one.high if one.high == one.high else one.value)
    return values, lows, highs
