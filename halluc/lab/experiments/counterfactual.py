"""Counterfactual pairs: what becomes of an answer when what it is about is taken away."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from halluc.config import BASELINE
from halluc.lab.asking import answers
from halluc.lab.base import Experiment, Finding, Row, Setting, experiment
from halluc.lab.counterfactual_pairs import TERCILES, ScenePair, pairs
from halluc.lab.estimates import NOTHING, cells, intervals, paired, spoken, verdict
from halluc.lab.questions import caption, existence, named, said_yes, scenes
from halluc.scoring.confusion_rates import ratio

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from halluc.lab.estimates import NOTHING, Counts
    from halluc.scoring.bootstrap import Array, Interval
    from halluc.types import Answer

OUTCOMES: dict[tuple[bool, bool], str] = {
    (True, False): "flip",
    (True, True): "stuck yes",
    (False, False): "stuck no",
    (False, True): "backwards",
}
"""What became of a question, by whether it was affirmed with the thing there and without it."""
ALL = "all"


@experiment("counterfactual")
class Counterfactual(Experiment):
    """Asks for a category with it there and with it taken away."""

    question = (
        "When one thing is taken out of a scene, does the answer about it flip from yes to no?"
    )
    claim = (
        "Objects that often occur together with what is in the image are prone to be hallucinated."
    )
    source = "Li et al., POPE, EMNLP 2023, arXiv:2305.10355, abstract"
    methods = ("var", "vhr", "vcd")

    def run(self, setting: Setting) -> Finding:
        """Ask about both scenes of all pairs by each method, and have them described."""
        made = pairs(scenes(setting.scenes, least=2))
        asked = {}
        for pair in made:
            for variant in (pair.there, pair.gone):
                for sample in (existence(variant, pair.category), caption(variant)):
                    asked[sample.id] = sample
        samples = sorted(asked.values(), key=lambda sample: sample.image_id)
        said = answers(setting, "counterfactual", samples)
        counts = {
            method: counted(made, {answer.id: answer for answer in given})
            for method, given in said.items()
        }
        values = {name: intervals(ours, metrics, setting.seed) for name, ours in counts.items()}
        gaps = {
            name: paired(ours, counts[BASELINE], metrics, setting.seed)
            for name, ours in counts.items()
            if name != BASELINE
        }
        return _finding(values, gaps)


def counted(made: Sequence[ScenePair], said: Mapping[str, Answer]) -> Counts:
    """Count outcomes by scene and tercile.

    Args:
        said: By the sample's id, a method's answers.
    """
    by_scene: dict[str, dict[str, float]] = {}
    for pair in made:
        yes, still = [], []
        for variant in (pair.there, pair.gone):
            yes.append(said_yes(said[existence(variant, pair.category).id]))
            still.append(pair.category in named(said[caption(variant).id].text).nodes)
        sums = by_scene.setdefault(pair.scene, defaultdict(float))
        for group in (pair.tercile, ALL):
            sums[f"{group}/pairs"] += 1
            sums[f"{group}/{OUTCOMES[yes[0], yes[1]]}"] += 1
            sums[f"{group}/named"] += still[0]
            sums[f"{group}/still named"] += all(still)
    return list(by_scene.values())


def metrics(totals: Mapping[str, Array]) -> dict[str, Array]:
    """Return the share of each outcome, and of descriptions that still name what is gone."""
    found = {}
    for group in (ALL, *TERCILES):
        for outcome in OUTCOMES.values():
            found[f"{group}/{outcome}"] = ratio(
                totals[f"{group}/{outcome}"], totals[f"{group}/pairs"]
            )
        found[f"{group}/still named"] = ratio(
            totals[f"{group}/still named"], totals[f"{group}/named"]
        )
    least, most = (found[f"{group}/stuck yes"] for group in (TERCILES[0], TERCILES[-1]))
    return {**found, "expected": most - least}


def _finding(
    values: Mapping[str, Mapping[str, Interval]], gaps: Mapping[str, Mapping[str, Interval]]
) -> Finding:
    rows = []
    for method, ours in values.items():
        for group in (ALL, *TERCILES):
            row: Row = {"method": method, "thing": group}
            for outcome in ("flip", "stuck yes", "stuck no", "still named"):
                row |= cells(f"{outcome} (%)", ours[f"{group}/{outcome}"], 100)
                if outcome in ("flip", "stuck yes"):
                    gap = gaps.get(method, {}).get(f"{group}/{outcome}", NOTHING)
                    row |= cells(f"{outcome} - baseline", gap, 100)
            rows.append(row)
    base = values[BASELINE]
    because = (
        f"The baseline's answer flips in {spoken(base[f'{ALL}/flip'], 100)}% of pairs and stays "
        f"yes in {spoken(base[f'{ALL}/stuck yes'], 100)}%; it stays yes "
        f"{spoken(base['expected'], 100, '+')} points more often for the third of things that the "
        f"theme makes most likely than for the third it makes least likely."
    )
    return Finding(
        tuple(rows),
        verdict(base["expected"]),
        because,
        lambda figure: _draw(figure, values),
        (9, 4),
    )


def _draw(figure: Figure, values: Mapping[str, Mapping[str, Interval]]) -> None:
    from halluc.lab.drawing import legend, plain, points

    panels = figure.subplots(1, 2, sharey=True)
    for panel, outcome in zip(panels, ("flip", "stuck yes"), strict=True):
        for number, (method, ours) in enumerate(values.items()):
            shares = [ours[f"{group}/{outcome}"] for group in TERCILES]
            points(panel, shares, number, len(values), method, 100)
        panel.set_xticks(range(len(TERCILES)), TERCILES)
        plain(panel, "thing taken away, by its chance in the theme", f"{outcome} (% of pairs)")
    legend(figure, panels[0])
