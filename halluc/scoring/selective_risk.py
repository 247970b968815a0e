"""Risk and coverage of a run that may withhold answers.

Coverage is the share of samples that are answered, risk the share of errors among those. If the
least trusted answers are withheld first, one at a time, risk as a function of coverage is the
risk-coverage curve (El-Yaniv and Wiener, JMLR 11, 2010); the area under it (Geifman, Uziel and
El-Yaniv, ICLR 2019) is small where wrong answers are trusted least, whatever the limit is.
"""

from __future__ import annotations

from math import exp, isfinite
from typing import TYPE_CHECKING, Literal, NamedTuple

from halluc.scoring.bootstrap import CELLS, DRAWS, Interval, percentile, weights
from halluc.scoring.thinking import spoken
from halluc.scoring.yes_probability import p_yes
from halluc.types import Reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from halluc.scoring.base import Benchmark
    from halluc.types import Answer

    Array = NDArray[np.float64]

TrustedBy = Literal["method", "answer_probability"]
AREA_DRAWS = DRAWS // 5
"""Each draw sums over all answers, not over images: fewer draws, as there may be very many."""


class Trusted(NamedTuple):
    """One answer, and how far it is trusted.

    Attributes:
        cluster: The unit that is resampled.
        confidence: 0 to 1.
        loss: 1 for an error, 0 for none.
        answered: False where it is withheld.
    """

    cluster: str
    confidence: float
    loss: float
    answered: bool


class RiskCoverage(NamedTuple):
    """Risk and coverage of a run, with 95% intervals by image.

    Attributes:
        trusted_by: Whose confidence orders the answers: the method's, or the model's own
            probability of its yes, no or option where the method has none.
        coverage: The share of answers that are not withheld.
        risk: The share of errors among those.
        full_risk: The share of errors if none were withheld.
        area: Under the risk-coverage curve.
    """

    trusted_by: TrustedBy
    coverage: Interval
    risk: Interval
    full_risk: Interval
    area: Interval


def risk_coverage(
    benchmark: Benchmark, readings: Iterable[Reading], withheld: Iterable[Answer], seed: int = 0
) -> RiskCoverage | None:
    """Measure risk and coverage.

    Args:
        readings: What was read in the answers that were given.
        withheld: The answers that were not.

    Returns:
        None where answers have no confidence, or the benchmark cannot judge a single answer.
    """
    kept_back = map(spoken, withheld)
    said = [*readings, *(Reading(answer, benchmark.predict(answer)) for answer in kept_back)]
    by_method = any(reading.answer.confidence is not None for reading in said)
    found = []
    for reading in said:
        answer = reading.answer
        trust = answer.confidence if by_method else _own_confidence(benchmark, answer)
        right = None if trust is None else benchmark.right(reading)
        if trust is not None and right is not None:
            cluster = benchmark.cluster(answer)
            found.append(Trusted(cluster, trust, float(not right), answer.status == "ok"))
    if not found:
        return None
    return measured(found, "method" if by_method else "answer_probability", seed)


def _own_confidence(benchmark: Benchmark, answer: Answer) -> float | None:
    """Return the probability of the likeliest option, or of the likelier of yes and no.

    None of a description or a free answer, whose first word is not what it says.
    """
    if benchmark.card.task in ("caption", "open"):
        return None
    if benchmark.card.task == "choice" and benchmark.label(answer) is None:
        known = [p for p in (answer.letters or {}).values() if p is not None and isfinite(p)]
        return 1 / sum(exp(p - max(known)) for p in known) if known else None
    p = None if answer.yes_no is None else p_yes(*answer.yes_no)
    return None if p is None else max(p, 1 - p)


def measured(found: Sequence[Trusted], trusted_by: TrustedBy, seed: int = 0) -> RiskCoverage:
    """Measure risk and coverage of at least one answer."""
    import numpy as np

    order = sorted(found, key=lambda one: -one.confidence)
    names = {name: i for i, name in enumerate(sorted({one.cluster for one in order}))}
    cluster = np.array([names[one.cluster] for one in order])
    trust = np.array([one.confidence for one in order])
    loss = np.array([one.loss for one in order], dtype=float)
    answered = np.array([one.answered for one in order], dtype=float)
    whole = _measures(np.ones((1, len(order))), trust, loss, answered)[:, 0]
    parts = []
    for by_image in weights(len(names), AREA_DRAWS, seed):
        step = max(1, CELLS // len(order))
        for start in range(0, len(by_image), step):
            drawn = by_image[start : start + step, cluster]
            parts.append(_measures(drawn, trust, loss, answered))
    drawn = np.concatenate(parts, axis=1)
    intervals = (percentile(float(v), row) for v, row in zip(whole, drawn, strict=True))
    return RiskCoverage(trusted_by, *intervals)


def _measures(weight: Array, trust: Array, loss: Array, answered: Array) -> Array:
    """Measure coverage, risk, full risk and area, [4, draws].

    Args:
        weight: [draws, n], how often each answer counts, the most trusted first.
        trust: [n], falling.
    """
    import numpy as np

    total, kept = weight.sum(1), weight @ answered
    with np.errstate(invalid="ignore", divide="ignore"):
        risk = weight @ (answered * loss) / kept
        return np.stack(
            [kept / total, risk, weight @ loss / total, area_under(weight, trust, loss)]
        )


def area_under(weight: Array, trust: Array, loss: Array) -> Array:
    """Return the area under the risk-coverage curve, [draws].

    The mean over answers of the risk among those that are trusted at least as much: equally
    trusted answers are withheld together.

    Args:
        weight: [draws, n], how often each answer counts, the most trusted first.
        trust: [n], falling.
        loss: [n].
    """
    import numpy as np

    last = np.searchsorted(-trust, -trust, side="right") - 1  # of those as much trusted
    counted, lost = weight.cumsum(1), (weight * loss).cumsum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        risk = np.nan_to_num(lost[:, last] / counted[:, last])  # 0 / 0 has no weight
    area: Array = (weight * risk).sum(1) / weight.sum(1)
    return area
