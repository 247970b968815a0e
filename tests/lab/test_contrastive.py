"""Contrastive methods against their controls: arms, gains and the verdict."""

from __future__ import annotations

from pathlib import Path

import pytest

from halluc.errors import UserError
from halluc.lab.asking import Arm
from halluc.lab.base import Setting, Verdict
from halluc.lab.experiments.contrastive import (
    GREEDY,
    PUBLISHED_CUT_OFF,
    SAMPLED,
    Contrastive,
    PairedGains,
    arms_of,
    judged,
)
from halluc.models import VisionLanguageModel, load_model
from halluc.scoring.bootstrap import Interval
from halluc.types import Sample
from tests.lab import made_up

GAIN, NONE, LOSS = Interval(0.1, 0.05, 0.2), Interval(0.0, -0.1, 0.1), Interval(-0.2, -0.3, -0.1)


@pytest.fixture(scope="module")
def glyph() -> VisionLanguageModel:
    return load_model("glyph")


@pytest.mark.parametrize(
    ("compared", "held"),
    [
        ([(GAIN, NONE, LOSS)], "held"),
        ([(GAIN, GAIN, LOSS)], "did not hold"),
        ([(GAIN, NONE, GAIN)], "did not hold"),
        ([(NONE, NONE, NONE)], "not decided"),
        ([(GAIN, NONE, NONE), (NONE, NONE, NONE)], "held"),
        ([(GAIN, NONE, NONE), (GAIN, NONE, GAIN)], "did not hold"),
    ],
)
def test_a_gain_vanishes_if_it_is_there_under_sampling_alone(
    compared: list[tuple[Interval, Interval, Interval]], held: Verdict
) -> None:
    assert judged({str(i): PairedGains(*gains) for i, gains in enumerate(compared)}) == held


def test_a_control_has_the_method_s_own_cut_and_its_decoding(glyph: VisionLanguageModel) -> None:
    arms, controls = arms_of(Setting(glyph, ("vcd", "dola", "agla", "paint"), 2, seed=7))
    by_label = {arm.label: arm for arm in arms}
    assert len(by_label) == len(arms)
    cuts = {name: by_label[control].params for name, control in controls.items()}
    assert cuts == {
        "vcd": {"beta": 0.1},
        "dola": {"beta": 0.1},
        "agla": {"beta": 0.5},
        "paint": {"beta": PUBLISHED_CUT_OFF},
    }
    for arm in arms:
        assert arm.decoding.do_sample == ("greedy" not in arm.label)
        assert not arm.decoding.do_sample or arm.decoding.seed == 7


def test_gains_are_differences_of_accuracy(
    glyph: VisionLanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def first_wrong(sample: Sample) -> str:
        wrong = sample.id.endswith("1")
        return {"yes": "No", "no": "Yes"}[sample.target] if wrong else made_up.truthful(sample)

    rules = dict.fromkeys((GREEDY, "vcd, sampled", "vcd, greedy"), made_up.truthful)
    rules |= dict.fromkeys((SAMPLED, "apc 0.1, sampled"), first_wrong)
    finding = made_up.run(Contrastive(), rules, monkeypatch, 6, glyph, ["vcd"])
    rows = {row["arm"]: row for row in finding.rows}
    assert rows[GREEDY]["accuracy (%)"] == 100
    sampled, gained = rows[SAMPLED]["accuracy (%)"], rows["vcd, sampled"]["over its control"]
    assert isinstance(sampled, float) and isinstance(gained, float)
    assert gained == pytest.approx(100 - sampled)
    assert rows["vcd, greedy"]["over the greedy baseline"] == 0
    assert rows[SAMPLED]["over its control"] is None
    assert finding.held == "did not hold"  # what is gained over the control did not vanish


def test_methods_are_needed(glyph: VisionLanguageModel, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--methods names none"):
        Contrastive().run(Setting(glyph, (), 2, output_dir=tmp_path))


def test_an_arm_is_the_greedy_baseline_unless_it_says_otherwise() -> None:
    assert (Arm("plain").method, Arm("plain").decoding.do_sample) == ("baseline", False)
