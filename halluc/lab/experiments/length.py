"""Does attention to the image fall as a description grows, and are late things made up?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from halluc.lab.base import Experiment, Finding, Row, Setting, experiment
from halluc.lab.estimates import cells, intervals, mean, spoken, verdict

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from halluc.lab.descriptions import Description
    from halluc.models import VisionLanguageModel
    from halluc.scoring.bootstrap import Interval
    from halluc.world import Scene

    Array = NDArray[np.float64]
    Totals = Mapping[str, Array]

GROUPS = ("early", "middle", "late")
_BINS = 8
_LEAST = 3
"""Tokens that a description needs for a slope."""


@dataclass(frozen=True)
class Watched:
    """A description, and where its model looked while it wrote.

    Attributes:
        description: The description.
        image: Attention to the image, mean over heads, for each token and layer [T, L]; nan in
            layers that cannot be reached.
        even: What the image would get if attention were even [T].
    """

    description: Description
    image: Array
    even: Array


def slope(values: Array, step: int = 10) -> float:
    """Fit a line through one value a token: its change in `step` tokens, by least squares."""
    import numpy as np

    return float(np.polyfit(np.arange(len(values)), values, 1)[0] * step)


def groups(seen: Watched) -> dict[str, Array]:
    """Average attention to the image over layers: all, and the thirds of them, [T] each."""
    import numpy as np

    reached = np.flatnonzero(~np.isnan(seen.image).all(0))
    thirds = zip(GROUPS, np.array_split(reached, len(GROUPS)), strict=True)
    chosen = {"all": reached} | {name: part for name, part in thirds if len(part)}
    return {name: seen.image[:, part].mean(1) for name, part in chosen.items()}


def later(totals: Totals) -> dict[str, Array]:
    """Compute how many tokens later things that are made up stand than those that are there."""
    from halluc.scoring.confusion_rates import ratio

    wrong = ratio(totals["wrong_at"], totals["wrong"])
    return {"later": wrong - ratio(totals["true_at"], totals["true"])}


def places(description: Description) -> dict[str, float]:
    """Add up the tokens in which things are named, those made up apart from those there."""
    counts = dict.fromkeys(("wrong", "wrong_at", "true", "true_at"), 0.0)
    for named in description.named:
        kind = "wrong" if named.made_up else "true"
        counts[kind] += 1
        counts[f"{kind}_at"] += named.token
    return counts


@experiment("length")
class Length(Experiment):
    """Notes the image's share of attention at each token of descriptions."""

    question = "Does attention to the image fall as a description grows?"
    claim = "Attention to image tokens weakens progressively, and hallucination follows from it."
    source = "PAINT (arXiv:2501.12206), abstract; over the tokens of a description"
    scenes = 60

    def run(self, setting: Setting) -> Finding:
        """Describe scenes and watch."""
        from halluc.lab.questions import scenes

        return judged(watch(setting.model, scenes(setting.scenes)), setting.seed)


def judged(watched: Sequence[Watched], seed: int = 0) -> Finding:
    """Judge the claim by the slope of attention over the tokens of each description."""
    bins = table(watched, seed)
    long = [one for one in watched if len(one.even) >= _LEAST]
    if not long:
        because = f"No description has {_LEAST} tokens, so there is nothing that could fall."
        return Finding(tuple(bins.rows), "not decided", because, bins.draw, (8.4, 3.6))
    falls = {
        name: mean([slope(groups(one)[name]) for one in long], seed) for name in groups(watched[0])
    }
    even = mean([slope(one.even) for one in long], seed)
    relative = mean([slope(groups(one)["all"] / one.even) for one in long], seed)
    counts = [places(one.description) for one in watched]
    behind = intervals(counts, later, seed)["later"]
    by_group = ", ".join(
        f"{name} layers {spoken(fall, 100, '+', 2)}" for name, fall in falls.items()
    )
    because = (
        f"Each 10 tokens change the image's share of attention, in points: {by_group}; if "
        f"attention were even over a text that grows, {spoken(even, 100, '+', 2)}, so next to "
        f"that the image's share changes by {spoken(relative, 100, '+', 2)}%. "
    )
    because += (
        f"Things that are made up stand {spoken(behind, sign='+')} tokens later than things that "
        "are there."
        if _defined(behind)
        else "Nothing is made up, or nothing is there."
    )
    return Finding(
        rows=tuple(bins.rows),
        held=verdict(falls["all"], above=False),
        because=because,
        draw=bins.draw,
        size=(8.4, 3.6),
    )


def watch(model: VisionLanguageModel, drawn: Sequence[Scene]) -> list[Watched]:
    """Describe scenes, and note where the model looks at each token."""
    from halluc.lab.descriptions import described
    from halluc.lab.probes import Gaze

    watched = []
    for gaze, written in described(model, Gaze, drawn):
        image = gaze.share("image", model.n_layers).mean(-1)  # [T, B, L]
        even = gaze.share("even", model.n_layers).nanmean((2, 3))
        for row, description in enumerate(written):
            length = description.tokens
            part = image[:length, row].double().numpy()
            watched.append(Watched(description, part, even[:length, row].double().numpy()))
    return watched


@dataclass(frozen=True)
class Stretches:
    """Attention and made-up things by stretches of tokens.

    Attributes:
        width: Tokens in a stretch.
        image: By group of layers, the image's share in each stretch.
        even: The same if attention were even.
        made_up: Share of what is named in each stretch that is not there.
    """

    width: int
    image: dict[str, list[Interval]]
    even: list[Interval]
    made_up: list[Interval]

    @property
    def rows(self) -> list[Row]:
        """A row a stretch, in percent."""
        rows: list[Row] = []
        for number, made_up in enumerate(self.made_up):
            row: Row = {"tokens": f"{number * self.width + 1}-{(number + 1) * self.width}"}
            for name, stretches in self.image.items():
                row |= cells(f"image_{name}", stretches[number], 100)
            row |= cells("image_even", self.even[number], 100)
            rows.append(row | cells("made_up", made_up, 100))
        return rows

    def draw(self, figure: Figure) -> None:
        """Draw attention on the left, the share made up on the right."""
        from halluc.lab.drawing import line, plain

        left, right = figure.subplots(1, 2)
        middles = [(n + 0.5) * self.width for n in range(len(self.made_up))]
        for number, (name, stretches) in enumerate(self.image.items()):
            line(left, middles, stretches, number, f"{name} layers", 100)
        evens = [one.value * 100 for one in self.even]
        left.plot(middles, evens, ls="--", color="#777777", lw=1.2, label="even attention")
        plain(left, "tokens written", "attention to the image (%)")
        left.set_ylim(bottom=0)
        left.legend(frameon=False, fontsize=7)
        known = [pair for pair in zip(middles, self.made_up, strict=True) if _defined(pair[1])]
        line(right, [x for x, _ in known], [y for _, y in known], 2, "made up", 100)
        plain(right, "tokens written", "made up, of things named (%)")
        right.set_ylim(bottom=0)


def table(watched: Sequence[Watched], seed: int = 0) -> Stretches:
    """Cut descriptions into stretches of equal length, and average each over scenes."""
    longest = max(len(one.even) for one in watched)
    width = -(-longest // _BINS)
    stretches = [range(start, start + width) for start in range(0, longest, width)]
    by_group = [groups(one) for one in watched]

    def averaged(series: Sequence[Array]) -> list[Interval]:
        parts = ([one[part.start : part.stop] for one in series] for part in stretches)
        return [mean([float(p.mean()) for p in found if len(p)], seed) for found in parts]

    def made_up(stretch: range) -> Interval:
        named = ([n for n in one.description.named if n.token in stretch] for one in watched)
        counts = [{"n": len(some), "wrong": sum(n.made_up for n in some)} for some in named]
        return intervals(counts, _share_wrong, seed)["made_up"]

    return Stretches(
        width,
        {name: averaged([one[name] for one in by_group]) for name in by_group[0]},
        averaged([one.even for one in watched]),
        [made_up(stretch) for stretch in stretches],
    )


def _share_wrong(totals: Totals) -> dict[str, Array]:
    from halluc.scoring.confusion_rates import ratio

    return {"made_up": ratio(totals["wrong"], totals["n"])}


def _defined(interval: Interval) -> bool:
    return interval.value == interval.value
