"""A trace as a picture: a line of panels for each word.

Heat maps are in cividis and differences in grey, both of which survive printing in grey.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from halluc.attend.heat_maps import heat
from halluc.attend.key_shares import KINDS
from halluc.attend.trace_files import mean_shares
from halluc.figure_files import write_figure

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage
    from numpy.typing import NDArray
    from PIL.Image import Image

    from halluc.attend.tracing import Seen

    Array = NDArray[np.float64]

_SIDE = 384
"""Most pixels along a side of a heat map that is drawn; larger images are drawn smaller."""
_GREYS = ("#111111", "#777777", "#bbbbbb", "#e6e6e6", "#555555")
_HATCHES = ("", "", "", "", "////")
"""Of the bars of shares, in the order of `KINDS`: image, prompt, generated, first, sinks."""
_LEGEND = (
    "Heat: 1 where all of a row's attention would lie evenly over the image. Outlined: sinks. "
    "Lines: the word's first token in the logit lens; x: what is chosen from."
)
_LINES = ("-", "--")


def draw_words(
    image: Image,
    seen: Sequence[Seen],
    words: Sequence[int],
    file: Path,
    title: str,
    heads: Sequence[int] | None = None,
) -> None:
    """Draw some words of an answer, a line each, into a .png, .pdf or .svg file.

    A line has the image with the tokens that are sinks outlined, a heat map for each method with
    their difference, bars of shares, and the word's probability layer by layer.

    Args:
        seen: The baseline and a method on the same tokens, or one of them alone.
        words: Which words are drawn.
        title: Put above everything.
        heads: Those that are averaged; all by default. Layers that were kept are averaged, too.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = len(seen) + (len(seen) > 1)
    wide = [1.0] * (columns + 1) + [1.25, 1.35]
    high = 1.75 * min(1.4, max(0.6, image.height / image.width))
    size = (1.85 * sum(wide), 0.75 + (high + 0.2) * len(words))
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    legend = "\n".join(wrap(_LEGEND, int(12 * size[0])))
    figure.suptitle(f"{_plain(title)}\n{legend}", fontsize=8, x=0.01, ha="left")
    grid: Any = figure.subplots(len(words), len(wide), squeeze=False, width_ratios=wide)
    shares = [mean_shares(one, heads) for one in seen]
    for line, word in enumerate(words):
        panels = grid[line]
        _image(panels[0], image, seen[-1], seen[0].words[word].text)
        maps = [word_map(one, word, _small(image), heads) for one in seen]
        _maps(panels[1:-2], maps, seen, top=line == 0)
        _bars(panels[-2], [one[word] for one in shares], seen, line == 0, line == len(words) - 1)
        _lens(panels[-1], seen, word, line == 0, line == len(words) - 1)
    write_figure(figure, file, dpi=110)


def word_map(
    seen: Seen, word: int, size: tuple[int, int] | None = None, heads: Sequence[int] | None = None
) -> Array | None:
    """Lay a word's attention over the image, the mean of layers and heads.

    Args:
        size: Width and height of the map; the image's own by default.

    Returns:
        Its density [height, width]: 1 is what every pixel would get if all attention of a row lay
        evenly over the image. None where the tokens' places are not known.
    """
    import numpy as np

    if seen.places is None:
        return None
    start, stop = seen.words[word].start, seen.words[word].stop
    rows = seen.attention[start:stop]
    rows = rows if heads is None else rows[:, :, list(heads)]
    weights = np.nanmean(rows, axis=(0, 1, 2))[: len(seen.image)][seen.image]
    width, height = seen.places.size
    return heat(weights, seen.places, size) * (width * height)


def _small(image: Image) -> tuple[int, int]:
    scale = min(1.0, _SIDE / max(image.size))
    return max(1, round(image.width * scale)), max(1, round(image.height * scale))


def _plain(text: str) -> str:
    """Escape what would be drawn as a formula."""
    return text.replace("$", r"\$")


def _bare(panel: Axes, title: str = "") -> None:
    panel.set_xticks([])
    panel.set_yticks([])
    panel.set_title(title, fontsize=8)


def _image(panel: Axes, image: Image, seen: Seen, word: str) -> None:
    """Show the image, and outline the tokens that are sinks in most layers."""
    panel.imshow(image.resize(_small(image)), extent=(0, image.width, image.height, 0))
    if seen.places is not None:
        often = seen.sinks[:, seen.image].mean(0) >= 0.5
        for left, top, right, bottom in seen.places.boxes[often]:
            for colour, width in (("white", 2.0), ("black", 0.8)):
                panel.plot(
                    [left, right, right, left, left], [top, top, bottom, bottom, top],
                    color=colour, lw=width, solid_joinstyle="miter",
                )  # fmt: skip
        panel.set_xlim(0, image.width)
        panel.set_ylim(image.height, 0)
    _bare(panel)
    panel.set_ylabel(_plain(word), fontsize=11, fontweight="bold", rotation=0, ha="right")


def _maps(
    panels: Sequence[Axes], maps: Sequence[Array | None], seen: Sequence[Seen], top: bool
) -> None:
    """Show the heat maps in one scale, and their difference in its own."""
    import numpy as np

    known = [found for found in maps if found is not None]
    most = max((float(np.nanmax(found)) for found in known), default=1.0)
    for panel, found, one in zip(panels, maps, seen, strict=False):
        _bare(panel, _plain(one.method) if top else "")
        if found is None:
            panel.text(0.5, 0.5, "tokens without\na place", ha="center", va="center", fontsize=8)
            continue
        panel.set_facecolor("white")
        _scale(panel, panel.imshow(found, cmap="cividis", vmin=0, vmax=most))
    if len(seen) < 2:
        return
    _bare(panels[-1], f"{_plain(seen[1].method)} - {_plain(seen[0].method)}" if top else "")
    if len(known) == 2:
        gap = known[1] - known[0]
        reach = max(float(np.nanmax(np.abs(gap))), 1e-9)
        _scale(panels[-1], panels[-1].imshow(gap, cmap="gray", vmin=-reach, vmax=reach))


def _scale(panel: Axes, drawn: AxesImage) -> None:
    assert panel.figure is not None
    bar = panel.figure.colorbar(drawn, ax=panel, shrink=0.8, pad=0.02, aspect=14)
    bar.ax.tick_params(labelsize=6, length=2)
    bar.outline.set_linewidth(0.4)


def _bars(
    panel: Axes, shares: Sequence[Array], seen: Sequence[Seen], top: bool, bottom: bool
) -> None:
    """Stack the shares of each method into a bar."""
    for line, share in enumerate(shares):
        before = 0.0
        for kind, part, grey, hatch in zip(KINDS, share.tolist(), _GREYS, _HATCHES, strict=True):
            if part == part:
                panel.barh(
                    line, part, left=before, height=0.6, color=grey, hatch=hatch,
                    edgecolor="white", linewidth=0.4, label=kind if line == 0 else None,
                )  # fmt: skip
                before += part
    panel.set_yticks(range(len(seen)), [_plain(one.method) for one in seen], fontsize=7)
    panel.set_ylim(len(seen) - 0.4, -0.6)
    panel.set_xlim(0, 1)
    panel.set_xticks([0, 0.5, 1], ["0", "50%", "100%"] if bottom else [], fontsize=7)
    panel.tick_params(axis="y", length=0)
    panel.spines[["top", "right", "left"]].set_visible(False)
    if top:
        panel.set_title("share of attention", fontsize=8, pad=26)
        panel.legend(
            fontsize=6, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False,
            handlelength=1.2, columnspacing=0.8, borderaxespad=0.1,
        )  # fmt: skip


def _lens(panel: Axes, seen: Sequence[Seen], word: int, top: bool, bottom: bool) -> None:
    """Draw the probability of the word's first token by layer, and its rank at three of them."""
    for one, style in zip(seen, _LINES, strict=False):
        if one.lens is None:
            panel.text(0.5, 0.5, "cannot be read off", ha="center", va="center", fontsize=7)
            continue
        chance = one.lens.probability[one.words[word].start]
        layers = range(len(chance) - 1)
        panel.plot(
            layers, chance[:-1], style, color="black", lw=1.1, marker=".", ms=3, label=one.method
        )
        panel.plot(len(chance) - 1, chance[-1], "x", color="black", ms=4)
    last = 1 if seen[0].lens is None else seen[0].lens.probability.shape[1] - 1
    panel.set_ylim(-0.03, 1.03)
    panel.set_xlim(-0.4, last + 0.4)
    panel.tick_params(labelsize=7)
    panel.set_yticks([0, 0.5, 1])
    panel.spines[["top", "right"]].set_visible(False)
    ticks = sorted({0, (last - 1) // 2, last - 1})
    panel.set_xticks(
        [*ticks, last], [*map(str, ticks), "out"] if bottom else [""] * (len(ticks) + 1)
    )
    if top:
        panel.set_title("probability by layer", fontsize=8, pad=16)
        if len(seen) > 1 and seen[0].lens is not None:
            panel.legend(
                fontsize=6, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0),
                frameon=False, borderaxespad=0.1,
            )  # fmt: skip
