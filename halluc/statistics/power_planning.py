"""The plan of `halluc power`: how many images a difference takes, and what those at hand show."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from halluc.errors import UserError
from halluc.scoring.base import REGISTRY
from halluc.statistics.clusters import design_effect
from halluc.statistics.power import Design
from halluc.store import RunFolder, Scored, find_scored

SMALLEST = 1e-6
"""The smallest difference that is planned for: a millionth takes more images than there are."""

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


def plan(
    benchmark: str,
    difference: float,
    images: int | None,
    pilot: tuple[Path, Path] | None,
    discordance: float,
    correlation: float,
    target: float,
    alpha: float,
) -> dict[str, Any]:
    """Plan a comparison of two methods by the share of right answers.

    Args:
        images: How many are at hand; None for all the benchmark has.
        pilot: Two runs of the benchmark, from which discordance and correlation are measured.
        discordance, correlation: Assumed where there is no pilot.
        target: The power wanted.

    Raises:
        UserError: If the difference cannot be, the benchmark's size is not known and there is no
            pilot, or the pilot did not run the benchmark.
    """
    size = REGISTRY.get(benchmark).card.size
    if pilot is not None:
        design = _pilot(benchmark, pilot, alpha)
    elif size is None:
        raise UserError(f"{benchmark}: the number of questions an image is not known; give --pilot")
    else:
        design = Design(size[1] / size[0], discordance, correlation, alpha)
    if not 0 < difference < design.discordance:
        raise UserError(
            f"--difference {difference:g}: it lies between 0 and {design.discordance:g}, the share "
            f"of answers that differ at all"
        )
    if difference < SMALLEST:
        raise UserError(f"--difference {difference:g}: no smaller one than {SMALLEST:g} is planned")
    needed = design.images(difference, target)
    at_hand = images or (size[0] if size else None)
    return {
        "benchmark": benchmark,
        "difference": difference,
        "target_power": target,
        **asdict(design),
        "design_effect": design.design_effect,
        "assumed": pilot is None,
        "needed": {"images": needed, "questions": round(needed * design.per_image)},
        "at_hand": None
        if at_hand is None
        else {
            "images": at_hand,
            "questions": round(at_hand * design.per_image),
            "power": design.power(difference, at_hand),
            "detectable": design.detectable(at_hand, target),
        },
    }


def lines(planned: Mapping[str, Any]) -> Iterator[str]:
    """Describe a plan in words."""
    how = "assumed, see --pilot" if planned["assumed"] else "measured"
    yield (
        f"{planned['benchmark']}: {planned['per_image']:.3g} questions an image; {how}: "
        f"{planned['discordance']:.1%} of answers right in one method alone, correlated by "
        f"{planned['correlation']:.2f} within an image "
        f"(design effect {planned['design_effect']:.2f})"
    )
    needed = planned["needed"]
    yield (
        f"a difference of {planned['difference']:g} takes {needed['images']} images "
        f"({needed['questions']} questions) for a power of {planned['target_power']:g} "
        f"at alpha {planned['alpha']:g}"
    )
    if at_hand := planned["at_hand"]:
        yield (
            f"{at_hand['images']} images ({at_hand['questions']} questions) see it with a power of "
            f"{at_hand['power']:.2f}; with {planned['target_power']:g} they see a difference of "
            f"{at_hand['detectable']:.4f}"
        )


def measured(ours: Scored, theirs: Scored, alpha: float = 0.05) -> Design:
    """Take discordance and correlation from two runs that answered some of a benchmark.

    Raises:
        UserError: If they have no sample in common, or are right and wrong on the same ones.
    """
    right = {
        answer.id: answer.right for image in theirs.images.values() for answer in image.answers
    }
    gaps, images = [], []
    for name, image in ours.images.items():
        for answer in image.answers:
            first, second = answer.right, right.get(answer.id)
            if first is not None and second is not None:
                gaps.append(float(first) - float(second))
                images.append(name)
    if not any(gaps):
        raise UserError(f"{ours.name}: the two runs are right and wrong on the same answers")
    per_image = len(gaps) / len(set(images))
    effect = design_effect(gaps, images)
    return Design(
        per_image=per_image,
        discordance=sum(gap != 0 for gap in gaps) / len(gaps),
        correlation=(effect - 1) / (per_image - 1) if per_image > 1 else 0.0,
        alpha=alpha,
    )


def _pilot(name: str, pilot: tuple[Path, Path], alpha: float) -> Design:
    found: list[dict[str, Scored]] = []
    for path in pilot:
        scored = {one.scores.key: one for one in find_scored(RunFolder.read(path))}
        found.append({key: one for key, one in scored.items() if one.name == name})
        if not found[-1]:
            names = ", ".join(sorted({one.name for one in scored.values()}))
            raise UserError(f"{path} has no scores of {name}, only of {names or 'nothing'}")
    shared = [key for key in found[0] if key in found[1]]
    if not shared:
        raise UserError(f"{pilot[0]} and {pilot[1]} did not answer the same samples of {name}")
    most = max(shared, key=lambda key: found[0][key].scores.n)
    return measured(found[0][most], found[1][most], alpha)
