"""The rule by which a measurement speaks for a claim or against it, and its power."""

from __future__ import annotations

from math import erf, sqrt
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from halluc.scoring.bootstrap import Interval

Verdict = Literal["reproduced", "smaller", "not shown", "contradicted"]
NOT_MEASURED = "not measured"

FEWEST, ENOUGH = 30, 0.8
"""The fewest images that intervals are trusted of, and the power from which an interval that
holds 0 and excludes what is claimed speaks against the claim."""

RULE = (
    "d is the claimed difference, the method's number minus the baseline's; the interval is the "
    "95% interval of the paired difference measured, the baseline decoded as the method is. "
    "**reproduced**: the interval lies on d's side of 0, and holds d or lies beyond it. "
    "**smaller**: it lies on d's side of 0, and all of it is nearer to 0 than d. "
    "**contradicted**: it lies on the other side of 0; or it holds 0 and not d, and the power is "
    f"at least {ENOUGH:g}. **not shown**: all else, and whatever is measured on fewer than "
    f"{FEWEST} images. **{NOT_MEASURED}**: no run of the claim's model, method and parameters, "
    "benchmark, metric and decoding, and of its wording and scorer where the paper states them; "
    "runs that differ in some of these are shown with what differs, and get no verdict. The power "
    "is the chance that so many images show a true difference of d: Phi(|d| / standard error - "
    "1.96). d is taken for exact, as papers give no interval of it."
)


def judge(claimed: float, measured: Interval, images: int) -> Verdict:
    """Apply `RULE`.

    Args:
        claimed: The claimed difference, not 0.
        measured: The paired difference, in the same unit.
        images: How many it was measured on.
    """
    d = abs(claimed)
    low, high = measured.low, measured.high
    if claimed < 0:
        low, high = -high, -low
    chance = power(claimed, measured.stderr)
    if images < FEWEST or chance is None or low != low or high != high:
        return "not shown"
    if low > 0:
        return "reproduced" if high >= d else "smaller"
    if high < 0 or (high < d and chance >= ENOUGH):
        return "contradicted"
    return "not shown"


def power(claimed: float, stderr: float) -> float | None:
    """Compute the chance to find a true difference as large as the claimed one.

    Two-sided at .05, but for the chance of finding it on the wrong side, which is next to none.

    Args:
        stderr: Of the measured difference. Where it is 0, no answer differs and nothing is known
            of how far answers may: None.
    """
    if not stderr > 0:
        return None
    return (1 + erf((abs(claimed) / stderr - 1.96) / sqrt(2))) / 2
