"""The figure of the trial of attention sinks: each run over its steps."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.files import write_whole
from halluc.models.massive import MASSIVE
from halluc.world.training.natural_sinks_measures import EPSILON
from halluc.world.training.natural_sinks_page import SinkRuns, Trained, title

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

_COLOURS = ("#1b4f9c", "#6aa0e8", "#c4302b", "#f0a090")


def draw_sinks(results: SinkRuns, file: Path) -> None:
    """Draw attention on BOS and its largest |x| / rms over steps, a column a group of runs.

    A line is a run: attention of the head that looks at BOS most, and the layer with the largest
    activation. Dotted are the limits from which it counts as a sink.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    named = (("natural", results.natural), ("planted", results.planted), ("long", results.long))
    groups = [(name, runs) for name, runs in named if runs]
    figure = Figure(figsize=(4.2 * len(groups), 5.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, len(groups), sharey="row", squeeze=False)
    for column, (name, runs) in enumerate(groups):
        upper, lower = panels[:, column]
        _attention(upper, runs)
        _peak(lower, runs)
        upper.set_title(name, fontsize=9)
        lower.set_xlabel("steps", fontsize=8)
        upper.legend(fontsize=6, loc="upper right")
    panels[0, 0].set_ylabel("attention on BOS\n(head with most)", fontsize=8)
    panels[1, 0].set_ylabel("max |x| / rms of BOS\n(layer with most)", fontsize=8)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=110, metadata={"Software": None})
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, drawn.getvalue())


def _attention(panel: Axes, runs: Sequence[Trained]) -> None:
    for number, run in enumerate(runs):
        values = [line["attention_most"] for line in run.log]
        panel.plot(_steps(run), values, label=title(run.cell), **_style(number))
    panel.axhline(EPSILON, color="#777777", linestyle=":", linewidth=1)
    panel.set_ylim(0, 1)
    panel.tick_params(labelsize=7)


def _peak(panel: Axes, runs: Sequence[Trained]) -> None:
    for number, run in enumerate(runs):
        panel.plot(_steps(run), [max(line["peak_first"]) for line in run.log], **_style(number))
    limit: float = runs[0].last["limit"]
    panel.axhline(MASSIVE * limit, color="#777777", linestyle=":", linewidth=1)
    panel.axhline(limit, color="#777777", linewidth=1)
    panel.tick_params(labelsize=7)


def _steps(run: Trained) -> list[int]:
    return [line["step"] for line in run.log]


def _style(number: int) -> dict[str, Any]:
    dashed = "-" if number < len(_COLOURS) else "--"
    return {"color": _COLOURS[number % len(_COLOURS)], "linestyle": dashed, "linewidth": 1.2}
