"""The rule of verdicts, by intervals made by hand, and the power of a sample."""

from __future__ import annotations

import pytest

from halluc.claims.verdicts import ENOUGH, FEWEST, RULE, judge, power
from halluc.scoring.bootstrap import Interval


def spread(value: float, stderr: float) -> Interval:
    return Interval(value, value - 1.96 * stderr, value + 1.96 * stderr, stderr)


@pytest.mark.parametrize(
    ("claimed", "value", "stderr", "verdict"),
    [
        (4.0, 4.0, 1.0, "reproduced"),  # [2.04, 5.96]: above 0, holds 4
        (4.0, 9.0, 1.0, "reproduced"),  # [7.04, 10.96]: beyond 4
        (4.0, 1.0, 0.4, "smaller"),  # [0.22, 1.78]: above 0, below 4
        (4.0, 2.2, 1.1, "reproduced"),  # [0.044, 4.356]: above 0, holds 4
        (4.0, 2.0, 1.1, "not shown"),  # [-0.156, 4.156]: holds 0 and 4
        (4.0, 2.5, 1.5, "not shown"),  # [-0.44, 5.44]: holds 0 and 4
        (4.0, 0.0, 1.0, "contradicted"),  # [-1.96, 1.96]: holds 0, not 4; power Phi(2.04) = .98
        (4.0, -2.0, 0.5, "contradicted"),  # [-2.98, -1.02]: the other side
        (4.0, -9.0, 4.0, "contradicted"),  # [-16.84, -1.16]: the other side, with little power
        (4.0, 0.0, 1.5, "not shown"),  # [-2.94, 2.94]: not 4, but power Phi(0.71) = .76
        (4.0, 0.0, 1.4, "contradicted"),  # [-2.74, 2.74]: not 4, power Phi(0.90) = .81
    ],
)
def test_verdicts(claimed: float, value: float, stderr: float, verdict: str) -> None:
    assert judge(claimed, spread(value, stderr), 500) == verdict
    assert judge(-claimed, spread(-value, stderr), 500) == verdict  # less is claimed: mirrored


def test_the_interval_decides_and_not_the_value() -> None:
    assert judge(4.0, Interval(1.0, 0.1, 4.0, 1.0), 500) == "reproduced"  # its end is the claim
    assert judge(4.0, Interval(1.0, 0.1, 3.9, 1.0), 500) == "smaller"
    assert judge(4.0, Interval(1.0, 0.0, 3.9, 1.0), 500) == "contradicted"  # 0 is held
    assert judge(4.0, Interval(1.0, 0.0, 4.0, 1.0), 500) == "not shown"
    assert judge(4.0, Interval(-1.0, -2.0, 0.0, 1.5), 500) == "not shown"  # 0 is held, power .76
    assert judge(4.0, Interval(-1.0, -2.0, -0.1, 1.5), 500) == "contradicted"


def test_few_images_show_nothing() -> None:
    assert judge(4.0, spread(4.0, 1.0), FEWEST - 1) == "not shown"
    assert judge(4.0, spread(-4.0, 1.0), FEWEST - 1) == "not shown"
    assert judge(4.0, spread(4.0, 1.0), FEWEST) == "reproduced"


def test_without_spread_or_interval_nothing_is_shown() -> None:
    """Answers that do not differ at all say nothing of how far they may."""
    assert judge(4.0, Interval(0.0, 0.0, 0.0, 0.0), 500) == "not shown"
    assert judge(4.0, Interval(4.0), 500) == "not shown"


def test_power() -> None:
    # Phi(4 / 1 - 1.96) = Phi(2.04) = .9793; Phi(0) = .5; Phi(2.8 - 1.96) = Phi(.84) = .80
    assert power(4.0, 1.0) == pytest.approx(0.9793, abs=1e-4)
    assert power(-1.96, 1.0) == pytest.approx(0.5)
    assert power(2.8, 1.0) == pytest.approx(0.7995, abs=1e-4)
    assert power(4.0, 0.0) is None and power(4.0, float("nan")) is None


def test_the_rule_says_what_is_done() -> None:
    assert f"at least {ENOUGH:g}" in RULE and f"fewer than {FEWEST} images" in RULE
    for verdict in ("reproduced", "smaller", "not shown", "contradicted", "not measured"):
        assert f"**{verdict}**" in RULE
