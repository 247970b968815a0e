"""Do heads whose output depends on the image matter more than others when they are knocked out?"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from halluc.lab.base import Experiment, Finding, Row, Setting, experiment
from halluc.lab.estimates import cells, paired, spoken, verdict
from halluc.scoring.bootstrap import Interval
from halluc.scoring.confusion_rates import ratio

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from torch import Tensor

    from halluc.interventions import Method
    from halluc.interventions.requirements import Heads
    from halluc.lab.estimates import Counts
    from halluc.models import VisionLanguageModel
    from halluc.world import Scene

    Array = NDArray[np.float64]
    Totals = Mapping[str, Array]

ABOVE, BELOW, RANDOM = "above the median", "below the median", "random"
_DRAWS = 3
"""Random choices that are averaged."""
_MEASURED_ON = 16
"""Scenes that VHD is measured on."""
_MEASURED = ("accuracy", "favour", "chair_i", "recall")


def halves(vhd: Mapping[int, Tensor]) -> dict[str, Heads]:
    """Split each layer's heads [H] by VHD: as many above the median as below it.

    Where their number is odd, the one in the middle is in neither half.
    """
    above: Heads = {}
    below: Heads = {}
    for layer, values in vhd.items():
        ranked = values.argsort(descending=True).tolist()
        half = len(ranked) // 2
        above[layer] = tuple(sorted(ranked[:half]))
        below[layer] = tuple(sorted(ranked[len(ranked) - half :]))
    return {ABOVE: above, BELOW: below}


def random_heads(like: Heads, n_heads: int, rng: random.Random) -> Heads:
    """Draw as many heads in each layer as another choice has there."""
    return {
        layer: tuple(sorted(rng.sample(range(n_heads), len(some)))) for layer, some in like.items()
    }


def measured(totals: Totals) -> dict[str, Array]:
    """Compute accuracy, log-odds of the right answer, CHAIR_i and recall from summed counts."""
    from halluc.scoring.chair.metric import metrics

    chair = metrics(totals)
    return {
        "accuracy": ratio(totals["right"], totals["n"]),
        "favour": ratio(totals["favour"], totals["n"]),
        "chair_i": chair["chair_i"],
        "recall": chair["recall"],
    }


@experiment("knockout")
class Knockout(Experiment):
    """Silences the half of the heads above the median VHD, the half below it, and random halves."""

    question = "Do heads whose output depends on the image matter more when they are knocked out?"
    claim = "Heads whose outputs move most when the image is removed carry what the model sees."
    source = "VHR (arXiv:2412.13949), eq. 4 to 7: heads above each layer's median VHD"
    scenes = 80

    def run(self, setting: Setting) -> Finding:
        """Ask and describe with each choice of heads silenced, in the layers VHR reinforces.

        Heads are chosen by their VHD on prompts of the same kind, as VHR chooses them on the prompt
        itself, about scenes drawn for calibration.
        """
        from halluc.calibration.probing import drawn_descriptions
        from halluc.lab.probes import divergence_by_layer
        from halluc.lab.questions import scenes
        from halluc.lab.yes_no import questions
        from halluc.methods.vhr import VHR
        from halluc.world import scene

        model, drawn = setting.model, scenes(setting.scenes)
        layers = VHR.for_model(model).params.layers or ()
        rng = random.Random(setting.seed)
        asked = questions([scene("calibration", index) for index in range(_MEASURED_ON)])
        kinds = ([one.sample for one in asked], drawn_descriptions(_MEASURED_ON))
        choices: dict[str, list[Heads]] = {}
        for samples in kinds:
            vhd = divergence_by_layer(model, samples)
            split = halves({layer: vhd[layer].mean(0) for layer in layers if layer in vhd})
            for name, heads in split.items():
                choices.setdefault(name, []).append(heads)
            like = split[ABOVE]
            for draw in range(_DRAWS):
                heads = random_heads(like, model.n_heads, rng)
                choices.setdefault(f"{RANDOM} {draw}", []).append(heads)

        found = {name: outcome(model, heads, drawn) for name, heads in choices.items()}
        silenced = {name: found[name] for name in (ABOVE, BELOW)}
        silenced[RANDOM] = added([found[f"{RANDOM} {draw}"] for draw in range(_DRAWS)])
        count = sum(map(len, choices[ABOVE][0].values()))
        return judged(outcome(model, [{}, {}], drawn), silenced, count, layers, setting.seed)


def outcome(model: VisionLanguageModel, heads: Sequence[Heads], drawn: Sequence[Scene]) -> Counts:
    """Ask and describe scenes with heads silenced; the counts `measured` needs, by scene.

    Args:
        heads: Those silenced while questions are answered, and while scenes are described.
    """
    from halluc.lab.descriptions import described
    from halluc.lab.yes_no import first_tokens, questions, rights

    answering, describing = (partial(silencing, some) for some in heads)
    asked = questions(drawn)
    right = rights(asked, first_tokens(model, answering(), [one.sample for one in asked]))
    written = [one for _, batch in described(model, describing, drawn) for one in batch]
    return [{**said, **text.counts} for said, text in zip(right, written, strict=True)]


def silencing(heads: Heads) -> Method:
    """Make the method that silences heads; the baseline if there are none."""
    from halluc.interventions import no_method
    from halluc.lab.probes import SilentHeads

    return SilentHeads(heads) if heads else no_method()


def added(several: Sequence[Counts]) -> Counts:
    """Add up the counts of several runs, scene by scene."""
    return [
        {name: sum(one[name] for one in scene) for name in scene[0]}
        for scene in zip(*several, strict=True)
    ]


def judged(
    whole: Counts,
    silenced: Mapping[str, Counts],
    count: int,
    layers: Sequence[int],
    seed: int,
) -> Finding:
    """Compare each choice with the whole model, and the two halves with each other."""
    changes = {name: paired(some, whole, measured, seed) for name, some in silenced.items()}
    rows: list[Row] = []
    for name, change in changes.items():
        row: Row = {"heads silenced": name, "number": count}
        for metric in _MEASURED:
            scale = 1 if metric == "favour" else 100
            row |= cells(metric, change.get(metric, Interval(float("nan"))), scale)
        rows.append(row)
    gap = paired(silenced[ABOVE], silenced[BELOW], measured, seed)
    chance = paired(silenced[ABOVE], silenced[RANDOM], measured, seed)
    accuracy = {name: spoken(change["accuracy"], 100, "+") for name, change in changes.items()}
    because = (
        f"Silencing {count} heads in layers {', '.join(map(str, layers))} changes accuracy by "
        f"{accuracy[ABOVE]} points above the median VHD, {accuracy[BELOW]} below it and "
        f"{accuracy[RANDOM]} at random; above minus below is {spoken(gap['accuracy'], 100, '+')}, "
        f"above minus random {spoken(chance['accuracy'], 100, '+')}."
    )
    return Finding(
        rows=tuple(rows),
        held=verdict(gap["accuracy"], above=False),
        because=because,
        draw=partial(_draw, changes),
        size=(8.4, 2.6),
    )


def _draw(changes: Mapping[str, Mapping[str, Interval]], figure: Figure) -> None:
    """Draw the change of each measure, a panel a measure."""
    from halluc.lab.drawing import bars, plain

    units = {
        "accuracy": "accuracy (points)",
        "favour": "log-odds of the right answer",
        "chair_i": "CHAIR_i (points)",
        "recall": "recall (points)",
    }
    for panel, (metric, unit) in zip(figure.subplots(1, len(units)), units.items(), strict=True):
        known = [name for name in changes if metric in changes[name]]
        names = known if metric == "accuracy" else [""] * len(known)  # once, on the left
        bars(panel, names, [changes[n][metric] for n in known], 1 if metric == "favour" else 100)
        panel.axvline(0, color="#777777", lw=0.8)
        plain(panel, f"change of\n{unit}", "")
