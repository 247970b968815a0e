"""A map of heads: what each looks at, what moves it, and what is lost without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, NamedTuple, Self

from halluc.lab.base import Experiment, Finding, Row, Setting, experiment
from halluc.lab.estimates import cells, spoken
from halluc.scoring.bootstrap import Interval, percentile, weights
from halluc.scoring.confusion_rates import ratio

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from torch import Tensor

    from halluc.lab.yes_no import ExistenceQuestion

    Array = NDArray[np.float64]

_ASKED = 2
"""Things present that are asked for in each scene, and as many absent."""
_DRAWS = 2000
_LABELLED = 80
"""A map with at most this many heads has its values written into it."""


class Head(NamedTuple):
    """A head, both numbers 0-based."""

    layer: int
    head: int


@dataclass(frozen=True)
class Quantity:
    """One panel of the map.

    Attributes:
        name: Its column in the table.
        title: What it is, with its unit.
        values: By scene [scenes, L, H]; nan in layers that cannot be reached.
    """

    name: str
    title: str
    values: Array

    @classmethod
    def of(cls, name: str, title: str, values: Tensor, asked: Sequence[ExistenceQuestion]) -> Self:
        """Average what was measured for each question [N, L, H] over the questions of a scene."""
        import numpy as np

        rows: dict[str, list[int]] = {}
        for number, question in enumerate(asked):
            rows.setdefault(question.scene.file_name, []).append(number)
        parts = [values[numbers].double().mean(0).numpy() for numbers in rows.values()]
        return cls(name, title, np.stack(parts))

    @cached_property
    def map(self) -> Array:
        """The mean over scenes [L, H]."""
        averaged: Array = self.values.mean(0)
        return averaged

    def resampled(self, seed: int) -> Array:
        """Resample scenes: the map again and again [draws, L, H]."""
        import numpy as np

        scenes = len(self.values)
        flat = self.values.reshape(scenes, -1)
        drawn = [part @ flat / scenes for part in weights(scenes, _DRAWS, seed)]
        return np.concatenate(drawn).reshape(-1, *self.map.shape)


@experiment("heads")
class HeadMap(Experiment):
    """Measures every head in four ways, of which VHD is VHR's (arXiv:2412.13949, eq. 4 and 6)."""

    question = "What does each head look at, what moves it, and what is lost without it?"
    scenes = 24

    def run(self, setting: Setting) -> Finding:
        """Measure image attention, VHD, the loss without a head, and retrieval where it can be."""
        from halluc.lab.patches import scene_grid
        from halluc.lab.probes import divergence_by_layer
        from halluc.lab.questions import scenes
        from halluc.lab.single_heads import laid_out, retrieval, why_not, without_each
        from halluc.lab.yes_no import questions

        model = setting.model
        asked = questions(scenes(setting.scenes), _ASKED)
        there = [question for question in asked if question.present]
        image, loss = without_each(model, asked)
        vhd = divergence_by_layer(model, [question.sample for question in asked])
        found = [
            Quantity.of("image", "attention to the image (%)", 100 * image, asked),
            Quantity.of(
                "vhd", "VHD, change of output without the image", laid_out(vhd, image), asked
            ),
            Quantity.of("loss", "log-odds of the right answer lost without it", loss, asked),
        ]
        grid = scene_grid(model)
        seen = None if grid is None else retrieval(model, there, grid)
        if seen is not None:
            title = "attention of a thing's name to the thing (%)"
            found.append(Quantity.of("retrieval", title, 100 * seen, there))
        because = told(found, setting.seed)
        if seen is None:
            because += f" Retrieval is left out: {why_not(model, grid)}."
        width, height = 1.6 + 0.42 * model.n_heads, 1.3 + 0.32 * model.n_layers
        size = (2 * min(max(width, 3.6), 10.0), 2 * min(max(height, 2.6), 10.0))
        rows = table(found, setting.seed)
        return Finding(rows, "no claim", because, partial(_draw, found), size)


def table(found: Sequence[Quantity], seed: int) -> tuple[Row, ...]:
    """Make a row for each head."""
    drawn = {one.name: one.resampled(seed) for one in found}
    n_layers, n_heads = found[0].map.shape
    rows = []
    for place in (Head(layer, head) for layer in range(n_layers) for head in range(n_heads)):
        row: Row = {"layer": place.layer, "head": place.head}
        for one in found:
            value = float(one.map[place])
            row |= cells(one.name, percentile(value, drawn[one.name][:, *place]))
        rows.append(row)
    return tuple(rows)


def agreement(one: Quantity, other: Quantity, seed: int) -> Interval:
    """Compute the rank correlation of two maps over heads, resampling scenes."""
    import numpy as np
    from scipy.stats import rankdata

    known = ~np.isnan(one.map) & ~np.isnan(other.map)

    def correlation(left: Array, right: Array) -> Array:
        ranks = [rankdata(side[:, known], axis=1) for side in (left, right)]
        apart = [side - side.mean(1, keepdims=True) for side in ranks]
        norm = np.sqrt(np.prod([(side**2).sum(1) for side in apart], axis=0))
        together: Array = (apart[0] * apart[1]).sum(1)
        return ratio(together, norm)

    value = float(correlation(one.map[None], other.map[None])[0])
    return percentile(value, correlation(one.resampled(seed), other.resampled(seed)))


def told(found: Sequence[Quantity], seed: int) -> str:
    """Say which head matters most, and which measures tell so."""
    import numpy as np

    by_name = {one.name: one for one in found}
    loss = by_name["loss"]
    place = Head(*map(int, np.unravel_index(np.nanargmax(loss.map), loss.map.shape)))
    most = percentile(float(loss.map[place]), loss.resampled(seed)[:, *place])
    names = {"vhd": "VHD", "image": "image attention", "retrieval": "retrieval"}
    agree = ", ".join(
        f"{spoken(agreement(by_name[name], loss, seed), digits=2)} for {words}"
        for name, words in names.items()
        if name in by_name
    )
    return (
        f"Most is lost without head {place.head} of layer {place.layer}: "
        f"{spoken(most, digits=2)} of log-odds. The rank correlation over heads with what is lost "
        f"is {agree}."
    )


def _draw(found: Sequence[Quantity], figure: Figure) -> None:
    """Draw a heat map for each quantity, layers as rows and heads as columns."""
    panels = figure.subplots(2, 2).ravel()
    for panel, one in zip(panels, found, strict=False):
        _heat(panel, one)
    for panel in panels[len(found) :]:
        panel.set_visible(False)


def _heat(panel: Axes, one: Quantity) -> None:
    import numpy as np
    from matplotlib import colormaps

    shown = colormaps["viridis"].with_extremes(bad="#bbbbbb")
    shades = panel.imshow(np.ma.masked_invalid(one.map), cmap=shown, aspect="auto")
    panel.figure.colorbar(shades, ax=panel)
    panel.set_xlabel("head")
    panel.set_ylabel("layer")
    panel.set_title(one.title, fontsize=9)
    if one.map.size > _LABELLED:
        return
    least, most = float(np.nanmin(one.map)), float(np.nanmax(one.map))
    digits = 2 if max(-least, most) < 1 else 1 if max(-least, most) < 20 else 0
    for place in np.ndindex(one.map.shape):
        if (value := float(one.map[place])) == value:
            colour = "white" if value < least + 0.6 * (most - least) else "black"
            rounded = round(value, digits) + 0.0  # no -0.0
            label = f"{rounded:.{digits}f}"
            text = panel.text(place[1], place[0], label, color=colour, size=7)
            text.set(ha="center", va="center")
    panel.set_xticks(range(one.map.shape[1]))
    panel.set_yticks(range(one.map.shape[0]))
