"""POPE's questions, built as the authors' main.py builds them.

Li et al., "Evaluating Object Hallucination in Large Vision-Language Models", EMNLP 2023
(arXiv 2305.10355), repository RUCAIBox/POPE.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from halluc.errors import UserError

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from halluc.data.coco_objects import ImageObjects

STRATEGIES = ("random", "popular", "adversarial")


@dataclass(frozen=True)
class Question:
    """A line of a POPE file, and the object that it asks about."""

    question_id: int
    image: str
    object: str
    text: str
    label: str


def corrected_wording(name: str) -> str:
    """Return the question with the right article."""
    article = "an" if name[:1].lower() in set("aeiou") else "a"
    return f"Is there {article} {name} in the image?"


def published_wording(name: str) -> str:
    """Return main.py's question, in which before a vowel EVERY a becomes an ("imange")."""
    template = "Is there a {} in the image?"
    if name[:1] in set("aeiou"):
        template = template.replace("a", "an")
    return template.format(name)


def sample_images(
    images: Sequence[ImageObjects], n: int, rng: random.Random, min_objects: int = 3
) -> list[ImageObjects]:
    """Draw `n` images with at least `min_objects` list entries, in random order.

    Raises:
        UserError: If there are fewer such images.
    """
    eligible = [image for image in images if len(image.objects) >= min_objects]
    if len(eligible) < n:
        raise UserError(
            f"POPE needs {n} images with at least {min_objects} objects, got {len(eligible)}"
            + (f"; ask for fewer: n={len(eligible)}" if eligible else "")
        )
    return rng.sample(eligible, n)


def build(
    images: Sequence[ImageObjects],
    strategy: str,
    rng: random.Random,
    template: Callable[[str], str] = corrected_wording,
    positives: int = 3,
) -> list[Question]:
    """Ask about the first objects of every image, each followed by an absent one.

    Args:
        images: The images; their objects are also the vocabulary, in order of appearance.
        strategy: "random" draws the absent object from the vocabulary; "popular" takes the most
            frequent one, "adversarial" the one that co-occurs most with the present object. Ties
            keep the order of first appearance.
        rng: Used by "random", and by the others once their candidates are exhausted.

    Raises:
        UserError: If the strategy is unknown, or an image leaves no absent object to ask about.
    """
    if strategy not in STRATEGIES:
        raise UserError(f"unknown POPE strategy {strategy!r}, choose from {', '.join(STRATEGIES)}")
    frequency = Counter(name for image in images for name in image.objects)
    popular = [name for name, _ in frequency.most_common()]
    together = co_occurrence(images) if strategy == "adversarial" else {}
    questions: list[Question] = []
    for image in images:
        taken = set(image.objects)
        for present in image.objects[:positives]:
            ranked = popular if strategy == "popular" else together.get(present, [])
            absent = next((name for name in ranked if name not in taken), None)
            if absent is None:
                absent = _draw([name for name in frequency if name not in taken], image, rng)
            taken.add(absent)
            for name, label in ((present, "yes"), (absent, "no")):
                number = len(questions) + 1
                questions.append(Question(number, image.image, name, template(name), label))
    return questions


def co_occurrence(images: Sequence[ImageObjects]) -> dict[str, list[str]]:
    """Rank the objects that occur with each object, by pairs of list entries; stable on ties."""
    pairs: dict[str, Counter[str]] = {}
    for image in images:
        for name in image.objects:
            others = pairs.setdefault(name, Counter())
            others.update(other for other in image.objects if other != name)
    return {name: [other for other, _ in others.most_common()] for name, others in pairs.items()}


def _draw(candidates: list[str], image: ImageObjects, rng: random.Random) -> str:
    """Draw uniformly; main.py draws until it hits a candidate, and does not end without one."""
    if not candidates:
        raise UserError(f"{image.image}: all objects of the vocabulary are in it or asked about")
    return rng.choice(candidates)
