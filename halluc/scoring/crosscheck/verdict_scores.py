"""Scores of a target system's sentences, from the verdicts of evidence systems.

Sun et al., "CrossCheckGPT: Universal Hallucination Ranking for Multimodal Foundation Models"
(arXiv 2405.13684), repository BriansIDP/crosscheckgpt; with one evidence system, the target itself,
the explicit score is SelfCheckGPT's (Manakul et al., EMNLP 2023, arXiv 2303.08896). The more a
target hallucinates, the higher its scores are.

How evidence systems are weighted in the paper is not known to us: the code, and this, weigh them
equally.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from halluc.scoring.confusion_rates import ratio

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from halluc.scoring.base import Totals

    Array = NDArray[np.float64]

Variant = Literal["paper", "official_code"]
KINDS = ("explicit", "implicit")
VIEWS = ("cross", "with_self", "other_models", "self")
"""Which evidence counts: all but the target itself, all, that of other models, the target alone."""


def explicit(verdicts: Array, variant: Variant = "paper") -> Array:
    """Score sentences by the passages of each evidence system: S(i, m) = mean over k of x(i, m, k).

    Args:
        verdicts: [sentences, evidence, passages]; 0 where the passage supports the sentence, 1
            where it does not, 0.5 where that is not known.
        variant: "official_code" returns the sum over passages, as its modeling_selfcheck.py does,
            so that scores grow with their number.

    Returns:
        [sentences, evidence].
    """
    scores: Array = verdicts.sum(axis=2) if variant == "official_code" else verdicts.mean(axis=2)
    return scores


def over_evidence(scores: Array, counted: Sequence[bool]) -> Array:
    """Average over evidence: S(i) = mean over m of S(i, m).

    Args:
        scores: [sentences, evidence].
        counted: [evidence], which of it counts.

    Returns:
        [sentences]; nan without any evidence.
    """
    import numpy as np

    chosen = scores[:, np.asarray(counted, dtype=bool)]
    mean: Array = chosen.mean(axis=1) if chosen.shape[1] else np.full(len(scores), np.nan)
    return mean


def views(
    is_target: Sequence[bool], same_model: Sequence[bool], variant: Variant = "paper"
) -> dict[str, list[bool]]:
    """Say which evidence counts in each of `VIEWS`.

    Args:
        is_target: [evidence], whether it is the target itself.
        same_model: [evidence], whether it is the target's model, with any method.
        variant: "official_code" leaves the target in, as its compare.py does.
    """
    everything = [True] * len(is_target)
    without = [not own for own in is_target]
    return {
        "cross": everything if variant == "official_code" else without,
        "with_self": everything,
        "other_models": [not same for same in same_model],
        "self": list(is_target),
    }


def tally(kind: str, scores: Array, counted: Mapping[str, Sequence[bool]]) -> dict[str, float]:
    """Sum the sentences of ONE image; the sums of images add up.

    Args:
        kind: "explicit" or "implicit".
        scores: [sentences, evidence].
        counted: Which evidence counts, by view; views without any are left out.
    """
    sums = {f"{kind}_sentences": float(len(scores))}
    for view, mask in counted.items():
        if any(mask):
            sums[f"{kind}_{view}"] = float(over_evidence(scores, mask).sum())
    return sums


def system_scores(
    names: Sequence[str], variant: Variant = "paper"
) -> Callable[[Totals], dict[str, Array]]:
    """Make the function that turns sums over images into a target's scores.

    Args:
        names: The scores to compute: "explicit_cross", "implicit_self".
        variant: "official_code" negates them, as its compare.py does: higher is then better.

    Returns:
        Of summed counts, elementwise: the mean over all sentences.
    """
    sign = -1.0 if variant == "official_code" else 1.0

    def scored(totals: Totals) -> dict[str, Array]:
        sentences = {kind: totals[f"{kind}_sentences"] for kind in KINDS}
        return {
            name: sign * ratio(totals[name], sentences[name.partition("_")[0]]) for name in names
        }

    return scored
