"""Do visual attention sinks lie on the background, and can they be removed?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from halluc.lab.base import Experiment, Finding, Row, Setting, Verdict, experiment
from halluc.lab.estimates import cells, intervals, mean, paired, spoken, verdict
from halluc.lab.found_sinks import ATTENDED, FoundSinks, look
from halluc.models.massive import MASSIVE
from halluc.scoring.confusion_rates import ratio

if TYPE_CHECKING:
    import numpy as np
    import torch
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from torch import Tensor

    from halluc.lab.estimates import Counts
    from halluc.models import VisionLanguageModel
    from halluc.scoring.bootstrap import Interval
    from halluc.statistics.paired import Difference

    Array = NDArray[np.float64]

MOST_COST = 0.01
"""The accuracy that removing sinks may cost at most: one point."""
_DRAWS = 3
"""Random choices of other image tokens that are averaged."""


@experiment("sinks")
class Sinks(Experiment):
    """Finds visual sinks, compares their places with chance, and removes them from the keys."""

    question = "Do visual attention sinks lie on the background, and can they be removed?"
    claim = "Visual sinks lie on the background, and removing them costs nothing."
    source = "VAR (arXiv:2503.03321), table 6 and what it says of masking sink tokens"
    scenes = 200

    def run(self, setting: Setting) -> Finding:
        """Find sinks, count what is under them, and ask without them."""
        from halluc.lab.patches import scene_grid
        from halluc.lab.questions import scenes

        seed = setting.seed
        found = look(setting.model, scenes(setting.scenes))
        rows = by_layer(found, seed)
        if not any(bool(one.anywhere.any()) for one in found):
            return Finding(
                tuple(rows), "not decided", _none(setting.model, found), partial(_draw, rows)
            )
        number = mean([float(one.anywhere.sum()) for one in found], seed)
        some = mean([float(one.anywhere.any()) for one in found], seed)
        rows.append(row_of("scenes with visual sinks (%)", some, 100))
        rows.append(row_of("visual sinks a scene, in any layer", number))
        places, where = _places(found, scene_grid(setting.model), seed)
        rows += places
        costs = removed(setting.model, found, seed)
        rows += [row_of(name, cost, 100) for name, cost in costs.items()]
        cost = costs[SINKS]
        because = (
            f"{spoken(some, 100)}% of scenes have visual sinks, {spoken(number)} a scene on "
            f"average. {where[1]} Removing them from the keys "
            f"changes accuracy by {spoken(cost, 100, '+')} points, removing as many other image "
            f"tokens by {spoken(costs[OTHERS], 100, '+')}."
        )
        held = both(where[0], costs_little(cost))
        return Finding(tuple(rows), held, because, partial(_draw, rows), (8.4, 3.4))


SINKS, OTHERS = "accuracy without the sinks, change", "accuracy without as many others, change"


def row_of(measure: str, interval: Interval, scale: float = 1, layer: int | None = None) -> Row:
    """Return a row of the table."""
    return {"measure": measure, "layer": layer, **cells("value", interval, scale)}


def by_layer(found: Sequence[FoundSinks], seed: int) -> list[Row]:
    """Describe tokens layer by layer, with intervals over scenes."""
    rows: list[Row] = []
    for layer in range(len(found[0].first)):
        measures = {
            FIRST: [float(one.first[layer]) for one in found],
            LARGEST: [float(one.largest[layer]) for one in found],
            "first token is a sink (%)": [100 * float(one.first_sinks[layer]) for one in found],
            "visual sinks a scene": [float(one.sinks[layer].sum()) for one in found],
            "attention to massive image tokens (%)": [
                100 * float(one.together[layer]) for one in found
            ],
        }
        rows += [row_of(name, mean(each, seed), 1, layer) for name, each in measures.items()]
    return rows


FIRST, LARGEST = "size of the first token", "size of the largest image token"


def _places(
    found: Sequence[FoundSinks], grid: tuple[int, int] | None, seed: int
) -> tuple[list[Row], tuple[Verdict | None, str]]:
    """Compare how many sinks and how many image tokens lie where no thing is."""
    from halluc.lab.patches import background

    if grid is None:
        return [], (None, "Its image tokens have no known place in the picture.")
    counts = []
    for one in found:
        bare = background(one.scene, grid)
        counts.append(
            {
                "sinks": float(one.anywhere.sum()),
                "bare sinks": float((one.anywhere & bare).sum()),
                "tokens": float(len(bare)),
                "bare": float(bare.sum()),
            }
        )
    shares = intervals(counts, _shares, seed)
    rows = [row_of(f"{name} (%)", share, 100) for name, share in shares.items()]
    text = (
        f"{spoken(shares['sinks on background'], 100)}% of them lie where no thing is, of all "
        f"image tokens {spoken(shares['image tokens on background'], 100)}%."
    )
    return rows, (verdict(shares["difference"]), text)


def _shares(totals: Mapping[str, Array]) -> dict[str, Array]:
    sinks = ratio(totals["bare sinks"], totals["sinks"])
    tokens = ratio(totals["bare"], totals["tokens"])
    return {
        "sinks on background": sinks,
        "image tokens on background": tokens,
        "difference": sinks - tokens,
    }


def removed(
    model: VisionLanguageModel, found: Sequence[FoundSinks], seed: int
) -> dict[str, Difference]:
    """Ask without the sinks among the keys, and without as many other image tokens."""
    import torch

    from halluc.interventions import no_method
    from halluc.lab.probes import RemovedKeys
    from halluc.lab.yes_no import first_tokens, questions, rights

    asked = questions([one.scene for one in found])
    samples = [one.sample for one in asked]
    draw = torch.Generator().manual_seed(seed)

    def ask(chosen: dict[str, Tensor]) -> Counts:
        return rights(asked, first_tokens(model, RemovedKeys(chosen), samples))

    whole = rights(asked, first_tokens(model, no_method(), samples))
    without = ask({one.image_hash: one.anywhere for one in found})
    others = [
        ask({one.image_hash: as_many_others(one.anywhere, draw) for one in found})
        for _ in range(_DRAWS)
    ]
    pooled = [
        {name: sum(one[name] for one in scene) for name in scene[0]}
        for scene in zip(*others, strict=True)
    ]
    return {
        SINKS: paired(without, whole, _accuracy, seed)["accuracy"],
        OTHERS: paired(pooled, whole, _accuracy, seed)["accuracy"],
    }


def as_many_others(sinks: Tensor, draw: torch.Generator) -> Tensor:
    """Choose as many of the other image tokens at random, or all where they are fewer [n]."""
    import torch

    others = (~sinks).nonzero()[:, 0]
    order = torch.randperm(len(others), generator=draw)[: int(sinks.sum())]
    chosen = torch.zeros_like(sinks)
    chosen[others[order]] = True
    return chosen


def _accuracy(totals: Mapping[str, Array]) -> dict[str, Array]:
    return {"accuracy": ratio(totals["right"], totals["n"])}


def costs_little(change: Interval) -> Verdict:
    """Judge whether a change of accuracy is at most `MOST_COST` downwards."""
    if change.low >= -MOST_COST:
        return "held"
    return "did not hold" if change.high < -MOST_COST else "not decided"


def both(one: Verdict | None, other: Verdict) -> Verdict:
    """Join the verdicts on two halves of a claim; None for one that cannot be judged."""
    if "did not hold" in (one, other):
        return "did not hold"
    return "held" if (one, other) == ("held", "held") else "not decided"


def _none(model: VisionLanguageModel, found: Sequence[FoundSinks]) -> str:
    largest = max(float(one.largest.max()) for one in found)
    together = max(float(one.together.max()) for one in found)
    first = sum(bool(one.first_sinks.any()) for one in found) / len(found)
    return (
        f"There are no visual sinks in {model.name}, so nothing can be tested: its largest image "
        f"token has {largest:.0%} of sqrt(D) in one dimension (a sink has {MASSIVE:.0%} and more) "
        f"and massive image tokens get at most {together:.0%} of attention together (a sink "
        f"{ATTENDED:.0%}). The first token is a sink in {first:.0%} of scenes."
    )


def _draw(rows: Sequence[Row], figure: Figure) -> None:
    """Draw sizes by layer, and what removing costs where there is something to remove."""
    from halluc.lab.drawing import bars, line, plain
    from halluc.scoring.bootstrap import Interval

    def of(measure: str) -> list[Interval]:
        found = [row for row in rows if row["measure"] == measure]
        numbers = ([row[f"value{end}"] for end in ("", "_lo", "_hi")] for row in found)
        return [Interval(*(float(x or 0) for x in each)) for each in numbers]

    costs = {name: of(name) for name in (SINKS, OTHERS)}
    decided = all(costs.values())
    panels = figure.subplots(1, 1 + decided, squeeze=False)[0]
    for number, name in enumerate((FIRST, LARGEST)):
        sizes = of(name)
        line(panels[0], range(len(sizes)), sizes, number, name.removeprefix("size of "))
    panels[0].axhline(MASSIVE, color="#777777", ls="--", lw=1.0, label="a sink's least")
    plain(panels[0], "layer", "|x_d| / rms(x), of sqrt(D)")
    panels[0].set_ylim(0, 1)
    panels[0].legend(frameon=False, fontsize=7)
    if decided:
        bars(panels[1], ["sinks", "as many others"], [cost[0] for cost in costs.values()])
        panels[1].axvline(-100 * MOST_COST, color="#777777", ls="--", lw=1.0)
        panels[1].axvline(0, color="#777777", lw=0.8)
        plain(panels[1], "change of accuracy without them (points)", "")
