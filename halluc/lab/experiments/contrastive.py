"""Contrastive decoding against what else it changes: the cut of implausible tokens, and greed.

Contrastive methods were published under sampling. They also cut implausible tokens, which brings
sampling close to greedy decoding, and they shift answers towards yes or no. So a method is compared
with the sampled baseline, with sampling under its own cut alone, and greedy with greedy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from halluc.config import BASELINE, DecodingConfig
from halluc.errors import UserError
from halluc.lab.asking import Arm, answers
from halluc.lab.base import Experiment, Finding, Row, Setting, Verdict, experiment
from halluc.lab.estimates import NOTHING, cells, intervals, paired, spoken
from halluc.lab.questions import said_yes
from halluc.scoring.confusion_rates import ratio

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from halluc.lab.estimates import Counts
    from halluc.scoring.bootstrap import Array, Interval
    from halluc.types import Answer

CUT_OFFS = {"vcd": "beta", "agla": "beta", "dola": "relative_top"}
"""By method, its parameter that cuts implausible tokens."""
PUBLISHED_CUT_OFF = 0.2
"""The cut-off of the control in the paper's code, for methods with no cut-off that is known."""
SAMPLED = "baseline, sampled"
GREEDY = "baseline, greedy"


class PairedGains(NamedTuple):
    """A method's gains in accuracy, each paired by scene.

    Attributes:
        sampled: Sampled, over the sampled baseline.
        control: Sampled, over sampling under the same cut of implausible tokens.
        greedy: Greedy, over the greedy baseline.
    """

    sampled: Interval
    control: Interval
    greedy: Interval

    @property
    def vanishes(self) -> Verdict:
        """Whether there is a gain over the sampled baseline, and none over the others."""
        if self.control.low > 0 or self.greedy.low > 0:
            return "did not hold"
        return "held" if self.sampled.low > 0 else "not decided"


@experiment("contrastive")
class Contrastive(Experiment):
    """Asks POPE's questions by contrastive methods and by their controls."""

    question = "Do contrastive methods gain anything over greedy decoding and over their controls?"
    claim = (
        "The gains of contrastive decoding on POPE come from the plausibility constraint, which "
        "turns sampling into greedy search, and from shifting answers to one side."
    )
    source = "Yin et al., The Mirage of Performance PairedGains, arXiv:2504.10020, abstract"
    methods = ("vcd", "dola", "agla")
    scenes = 80

    def run(self, setting: Setting) -> Finding:
        """Ask the questions of `glyph_pope` by every arm."""
        from halluc.scoring.building import build

        if not setting.methods:
            raise UserError("lab contrastive: --methods names none to compare with the baseline")
        arms, controls = arms_of(setting)
        samples = list(build("glyph_pope").samples(setting.scenes))
        said = answers(setting, "contrastive", samples, arms)
        counts = {label: counted(given) for label, given in said.items()}
        values = {label: intervals(ours, metrics, setting.seed) for label, ours in counts.items()}

        def gain(label: str, over: str) -> Interval:
            gaps = paired(counts[label], counts[over], metrics, setting.seed)
            return gaps["accuracy"]

        compared = {
            name: PairedGains(
                gain(f"{name}, sampled", SAMPLED),
                gain(f"{name}, sampled", controls[name]),
                gain(f"{name}, greedy", GREEDY),
            )
            for name in setting.methods
        }
        greed = paired(counts[GREEDY], counts[SAMPLED], metrics, setting.seed)["accuracy"]
        return _finding(values, compared, greed)


def arms_of(setting: Setting) -> tuple[list[Arm], dict[str, str]]:
    """List the arms: the baseline, each method, and each method's control.

    Returns:
        The arms, and by method the label of its control.
    """
    from halluc.interventions.compose import find

    drawn, greedy = DecodingConfig(do_sample=True, seed=setting.seed), DecodingConfig()
    arms = [Arm(SAMPLED, BASELINE, drawn), Arm(GREEDY, BASELINE, greedy)]
    controls = {}
    for name in setting.methods:
        arms += [Arm(f"{name}, sampled", name, drawn), Arm(f"{name}, greedy", name, greedy)]
        params = find(name).for_model(setting.model).params
        cut_off = getattr(params, CUT_OFFS.get(name, ""), PUBLISHED_CUT_OFF)
        controls[name] = f"apc {cut_off:g}, sampled"
        if controls[name] not in [arm.label for arm in arms]:
            arms.append(Arm(controls[name], "apc", drawn, {"beta": cut_off}))
    return arms, controls


def counted(given: Sequence[Answer]) -> Counts:
    """Count right answers and those that are yes, by scene."""
    by_scene: dict[str, dict[str, float]] = {}
    for answer in given:
        sums = by_scene.setdefault(answer.image_id, {"n": 0.0, "right": 0.0, "yes": 0.0})
        yes = said_yes(answer)
        sums["n"] += 1
        sums["yes"] += yes
        sums["right"] += yes == (answer.target == "yes")
    return list(by_scene.values())


def metrics(totals: Mapping[str, Array]) -> dict[str, Array]:
    """Return accuracy and the share of yes."""
    return {
        "accuracy": ratio(totals["right"], totals["n"]),
        "yes": ratio(totals["yes"], totals["n"]),
    }


def judged(compared: Mapping[str, PairedGains]) -> Verdict:
    """Judge the claim: it did not hold if a gain is left, held if all that was there vanished."""
    verdicts = {one.vanishes for one in compared.values()}
    if "did not hold" in verdicts:
        return "did not hold"
    return "held" if "held" in verdicts else "not decided"


def _finding(
    values: Mapping[str, Mapping[str, Interval]],
    compared: Mapping[str, PairedGains],
    greed: Interval,
) -> Finding:
    rows = []
    for label, ours in values.items():
        row: Row = {"arm": label}
        row |= cells("accuracy (%)", ours["accuracy"], 100) | cells("yes (%)", ours["yes"], 100)
        name, _, decoding = label.partition(", ")
        one = compared.get(name, PairedGains(NOTHING, NOTHING, NOTHING))
        drawn = decoding == "sampled"
        row |= cells("over the sampled baseline", one.sampled if drawn else NOTHING, 100)
        row |= cells("over its control", one.control if drawn else NOTHING, 100)
        row |= cells("over the greedy baseline", NOTHING if drawn else one.greedy, 100)
        rows.append(row)
    gains = "; ".join(
        f"{name} {spoken(one.sampled, 100, '+')}, {spoken(one.control, 100, '+')} and "
        f"{spoken(one.greedy, 100, '+')}"
        for name, one in compared.items()
    )
    because = (
        f"Greedy decoding alone gains {spoken(greed, 100, '+')} points of accuracy over sampling. "
        f"Gains over the sampled baseline, over the cut alone, and greedy over greedy: {gains}."
    )
    verdict = judged(compared)
    return Finding(tuple(rows), verdict, because, lambda figure: _draw(figure, compared), (7, 4))


def _draw(figure: Figure, compared: Mapping[str, PairedGains]) -> None:
    from halluc.lab.drawing import legend, plain, points

    panel = figure.subplots()
    panel.axhline(0, color="#777777", lw=0.8)
    for number, (name, gains) in enumerate(compared.items()):
        points(panel, list(gains), number + 1, len(compared) + 1, name, 100)
    places = ("sampled,\nover the baseline", "sampled,\nover its control", "greedy,\nover greedy")
    panel.set_xticks(range(len(places)), places)
    plain(panel, "compared with", "gain in accuracy (points)")
    legend(figure, panel)
