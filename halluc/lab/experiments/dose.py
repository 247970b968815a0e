"""Dose and response: errors against one property of scenes at a time, for each method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from halluc.config import BASELINE
from halluc.errors import UserError
from halluc.lab.asking import answers
from halluc.lab.base import Experiment, Finding, Row, Setting, experiment
from halluc.lab.dose_response import Observed, counted, responses
from halluc.lab.doses import DOSES, Dose
from halluc.lab.estimates import NOTHING, all_of, cells, intervals, paired, spoken, verdict
from halluc.lab.questions import scenes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from halluc.lab.dose_readings import DoseQuestion
    from halluc.scoring.bootstrap import Interval
    from halluc.types import Answer

RATES = ("hallucination", "recall")


@dataclass(frozen=True)
class Curve:
    """A method's responses to a dose: rates at each level, and how much they rise over the range.

    Attributes:
        values: "hallucination@0", "hallucination rise" and the like, in shares.
        gaps: The same less the baseline's, paired by scene.
    """

    values: Mapping[str, Interval]
    gaps: Mapping[str, Interval]


@experiment("dose")
class DoseResponse(Experiment):
    """Six properties of scenes, varied one at a time."""

    question = "How do hallucination and recall change with one property of scenes at a time?"
    claim = (
        "Objects that often occur together with what is there are hallucinated more, and so are "
        "those in later parts of a description."
    )
    source = "Zhou et al., LURE, ICLR 2024, arXiv:2310.00754, abstract"
    methods = ("var", "vhr", "vcd")

    def run(self, setting: Setting) -> Finding:
        """Ask all questions of all doses by each method."""
        if not getattr(setting.model.processor.tokenizer, "is_fast", True):
            raise UserError(
                f"lab dose: the tokenizer of {setting.model.name!r} cannot tell which letters a "
                "token is; descriptions cannot be cut after some tokens"
            )
        drawn = {least: scenes(setting.scenes, least) for least in {dose.least for dose in DOSES}}
        asked = {dose.name: list(dose.ask(drawn[dose.least], dose.levels)) for dose in DOSES}
        samples = [question.sample for questions in asked.values() for question in questions]
        said = answers(setting, "dose", samples)
        by_id = {method: {one.id: one for one in given} for method, given in said.items()}
        curves = {}
        for dose in DOSES:
            found = {
                method: _observed(dose, asked[dose.name], given, setting)
                for method, given in by_id.items()
            }
            curves[dose.name] = _curves(dose, asked[dose.name], found, setting.seed)
        return _finding(curves)


def _observed(
    dose: Dose, asked: list[DoseQuestion], given: Mapping[str, Answer], setting: Setting
) -> list[Observed]:
    tokenizer = setting.model.processor.tokenizer
    return [
        observed
        for question in asked
        for observed in dose.read(question, given[question.sample.id], dose.levels, tokenizer)
    ]


def _curves(
    dose: Dose, asked: list[DoseQuestion], found: Mapping[str, list[Observed]], seed: int
) -> dict[str, Curve]:
    names = list(dict.fromkeys(question.scene for question in asked))
    metrics = responses(RATES, len(dose.levels), dose.reach)
    counts = {method: counted(observed, names) for method, observed in found.items()}
    return {
        method: Curve(
            intervals(ours, metrics, seed),
            paired(ours, counts[BASELINE], metrics, seed) if method != BASELINE else {},
        )
        for method, ours in counts.items()
    }


def _finding(curves: Mapping[str, Mapping[str, Curve]]) -> Finding:
    rows = tuple(
        _row(dose, method, curves[dose.name][method]) for dose in DOSES for method in curves["size"]
    )
    company, length = (
        curves[name][BASELINE].values["hallucination rise"] for name in ("co-occurrence", "length")
    )
    because = (
        f"From a stray category to one that is in most scenes of the theme, the same absent "
        f"category is affirmed {spoken(company, 100, '+')} points more often; from the first "
        f"{DOSES[-1].levels[0]:g} to {DOSES[-1].levels[-1]:g} tokens the share of mentions that "
        f"are not there rises by {spoken(length, 100, '+')} points (baseline, 95% intervals)."
    )
    held = all_of(verdict(company), verdict(length))
    return Finding(rows, held, because, lambda figure: _draw(figure, curves), (15, 5.6))


def _row(dose: Dose, method: str, curve: Curve) -> Row:
    row: Row = {"dose": dose.name, "levels": f"{dose.levels[0]:g} to {dose.levels[-1]:g}"}
    row |= {"method": method}
    for rate in RATES:
        row |= cells(f"{rate} at least (%)", curve.values[f"{rate}@0"], 100)
        row |= cells(f"{rate} rise", curve.values[f"{rate} rise"], 100)
        gap = curve.gaps.get(f"{rate} rise", NOTHING)
        row |= cells(f"{rate} rise - baseline", gap, 100)
    return row


def _draw(figure: Figure, curves: Mapping[str, Mapping[str, Curve]]) -> None:
    from halluc.lab.drawing import legend, line, plain

    panels = figure.subplots(len(RATES), len(DOSES), sharey="row", squeeze=False)
    for column, dose in enumerate(DOSES):
        for panel, rate in zip(panels[:, column], RATES, strict=True):
            for number, (method, curve) in enumerate(curves[dose.name].items()):
                rates = [curve.values[f"{rate}@{level}"] for level in range(len(dose.levels))]
                line(panel, dose.levels, rates, number, method, 100)
            plain(panel, dose.axis, f"{rate} (%)" if column == 0 else "")
        panels[0, column].set_title(dose.name, fontsize=9)
    legend(figure, panels[0, 0])
