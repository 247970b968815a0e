"""Does attention to the first token govern how sure an answer is?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from math import log
from typing import TYPE_CHECKING

from halluc.errors import UserError
from halluc.lab.base import Experiment, Finding, Row, Setting, Verdict, experiment
from halluc.lab.estimates import cells, mean, spoken

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from halluc.scoring.bootstrap import Interval
    from halluc.types import Sample

GAMMAS = (0.25, 0.5, 0.71, 1.0, 1.41, 2.0, 4.0)
"""Factors on the first token's weight, about evenly spread in their logarithm."""


@experiment("first_token")
class FirstToken(Experiment):
    """Scales attention to the first token, and reads the entropy and the truth of answers."""

    question = "Does attention to the first token govern how sure an answer is?"
    claim = "A bias on the first token's attention steers attention's entropy and the output's."
    source = "ZeroTuning (arXiv:2505.11739), abstract"
    scenes = 150

    def run(self, setting: Setting) -> Finding:
        """Ask with each factor, in the layers that ZeroTuning scales."""
        from halluc.interventions import Method, no_method
        from halluc.lab.questions import scenes
        from halluc.lab.yes_no import first_tokens, questions, rights
        from halluc.methods.zerotuning import ZeroTuning

        model, refusal = setting.model, ""
        methods: dict[float, Method] = {}
        try:
            methods |= {gamma: ZeroTuning.for_model(model, {"gamma": gamma}) for gamma in GAMMAS}
        except UserError as refused:
            refusal, methods = str(refused), {1.0: no_method()}
        asked = questions(scenes(setting.scenes))
        samples = [one.sample for one in asked]
        entropy: dict[float, list[float]] = {}
        accuracy: dict[float, list[float]] = {}
        for gamma, method in methods.items():
            said = first_tokens(model, method, samples)
            counts = rights(asked, said)
            entropy[gamma] = [scene["entropy"] / scene["n"] for scene in counts]
            accuracy[gamma] = [scene["right"] / scene["n"] for scene in counts]
        share = looked(setting, samples)
        return judged(entropy, accuracy, share, setting.seed, refusal)


def looked(setting: Setting, samples: Sequence[Sample]) -> Interval:
    """Measure the share of attention that the first token has of its own, over heads and layers."""
    from halluc.lab.probes import Gaze
    from halluc.lab.yes_no import batches, read

    shares: list[float] = []
    for batch in batches(setting.model, samples):
        gaze = Gaze()
        read(setting.model, gaze, batch)
        shares += gaze.share("first", setting.model.n_layers)[0].nanmean((1, 2)).tolist()
    return mean(shares, setting.seed)


def averaged(
    values: Mapping[float, Sequence[float]], seed: int
) -> tuple[dict[float, Interval], dict[float, Interval]]:
    """Average a value a scene for each gamma, and its difference to that at gamma 1."""
    own = values[1.0]
    changes = {
        gamma: [a - b for a, b in zip(some, own, strict=True)] for gamma, some in values.items()
    }
    return (
        {gamma: mean(some, seed) for gamma, some in values.items()},
        {gamma: mean(some, seed) for gamma, some in changes.items()},
    )


def slope(values: Mapping[float, float]) -> float:
    """Fit a line through values over log2(gamma): the change where gamma doubles."""
    import numpy as np

    return float(np.polyfit([log(gamma, 2) for gamma in values], list(values.values()), 1)[0])


def slopes(by_gamma: Mapping[float, Sequence[float]], seed: int) -> Interval:
    """Average the slopes of scenes.

    Args:
        by_gamma: For each gamma, a value a scene.
    """
    by_scene = zip(*by_gamma.values(), strict=True)
    return mean([slope(dict(zip(by_gamma, each, strict=True))) for each in by_scene], seed)


def monotone(by_gamma: Mapping[float, Interval]) -> bool:
    """Return whether means only rise, or only fall, with gamma."""
    values = [one.value for _, one in sorted(by_gamma.items())]
    steps = [later - earlier for earlier, later in pairwise(values)]
    return all(step > 0 for step in steps) or all(step < 0 for step in steps)


def governs(change: Interval) -> Verdict:
    """Judge whether something changes with gamma, either way."""
    return "held" if change.low > 0 or change.high < 0 else "not decided"


def judged(
    entropy: Mapping[float, Sequence[float]],
    accuracy: Mapping[float, Sequence[float]],
    share: Interval,
    seed: int,
    refusal: str = "",
) -> Finding:
    """Judge the claim by the slope of entropy.

    Args:
        entropy, accuracy: For each gamma, a value a scene.
        share: Attention to the first token with no factor.
        refusal: Why gamma cannot be varied on this model.
    """
    nats, surer = averaged(entropy, seed)
    right, better = averaged(accuracy, seed)
    rows: list[Row] = [
        {
            "gamma": gamma,
            **cells("entropy", nats[gamma]),
            **cells("entropy_change", surer[gamma]),
            **cells("accuracy", right[gamma], 100),
            **cells("accuracy_change", better[gamma], 100),
        }
        for gamma in nats
    ]
    draw = partial(_draw, surer, better)
    if refusal:
        return Finding(tuple(rows), "not decided", f"Nothing could be scaled: {refusal}.", draw)
    change = slopes(entropy, seed)
    surest = min(nats, key=lambda gamma: nats[gamma].value)
    best = max(right, key=lambda gamma: right[gamma].value)
    because = (
        f"Doubling the first token's attention changes the entropy of an answer's first token by "
        f"{spoken(change, 1, '+', 4)} nats, accuracy by "
        f"{spoken(slopes(accuracy, seed), 100, '+')} points; mean entropy "
        f"{'only rises or only falls' if monotone(nats) else 'rises and falls'} with gamma. "
        f"It is least at gamma {surest:g}, accuracy greatest at {best:g}. Of its own the prompt's "
        f"first token has {spoken(share, 100)}% of attention."
    )
    return Finding(tuple(rows), governs(change), because, draw, (8.0, 3.2))


def _draw(
    entropy: Mapping[float, Interval], accuracy: Mapping[float, Interval], figure: Figure
) -> None:
    """Draw the changes next to gamma 1."""
    from halluc.lab.drawing import line, plain

    panels = figure.subplots(1, 2)
    line(panels[0], list(entropy), list(entropy.values()), 1, "entropy")
    plain(panels[0], "gamma, factor on the first token", "change of entropy (nats)")
    line(panels[1], list(accuracy), list(accuracy.values()), 2, "accuracy", 100)
    plain(panels[1], "gamma, factor on the first token", "change of accuracy (points)")
    for panel in panels:
        panel.axhline(0, color="#777777", lw=0.8)
        panel.set_xscale("log", base=2)
        panel.set_xticks(list(entropy), [f"{gamma:g}" for gamma in entropy])
        panel.minorticks_off()
