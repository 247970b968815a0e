"""How long it takes to measure a claim: an estimate, by the rule of docs/planning.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from halluc.interventions.card import ONE_A_TOKEN, Cost
from halluc.interventions.compose import find
from halluc.scoring.base import REGISTRY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from halluc.claims.claim import Claim

GPU, TFLOPS, UTILISATION = "H200", 989, 0.4
"""The GPU that is planned with, its maker's 10^12 operations a second, and the share reached."""

STEP, BATCH, LOAD = 0.025, 16, 60.0
"""Seconds of a step of decoding, prompts that are answered together, seconds to load a model."""

TEXT = 65
"""Tokens of a prompt next to its image."""

LENGTH = {"yes_no": 5, "caption": 110, "open": 80}
"""Tokens of an answer, by task."""

PARTS = {"amber": ("amber_generative", "amber_discriminative")}
"""Benchmarks that are two tasks at once."""


@dataclass(frozen=True)
class Spent:
    """Time that a method and its baseline take, estimated.

    Attributes:
        passes: Of the language model, a sample's: the baseline's and the method's; the second is
            None where it depends on the answer.
        hours: For all seeds; with `at_least` the method is counted as the baseline.
        runs: Seeds.
        seconds_a_pass: As given; None where planned.
    """

    passes: tuple[float, float | None]
    hours: float
    runs: int
    seconds_a_pass: float | None

    @property
    def at_least(self) -> bool:
        """Whether passes depend on the answer, so that only a lower bound is known."""
        return self.passes[1] is None

    def told(self) -> Iterator[str]:
        """Say it in words, and that it is an estimate."""
        plain, ours = self.passes
        method = "as the answers have it" if ours is None else f"{ours:.0f}"
        yield f"passes a sample: {plain:.0f} of the baseline, {method} of the method"
        how = (
            f"on one {GPU}, by the rule of docs/planning.md"
            if self.seconds_a_pass is None
            else f"at {self.seconds_a_pass:g} seconds a pass"
        )
        runs = f", {self.runs} seeds" if self.runs > 1 else ""
        least = "at least " if self.at_least else ""
        yield f"time: {least}{self.hours:.2g} hours {how}{runs}: an estimate, nothing was measured"


def spent(claim: Claim, images: int, runs: int, seconds_a_pass: float | None) -> Spent:
    """Estimate what a claim takes to measure: the method and its baseline.

    Args:
        images: Asked about.
        runs: Seeds.
        seconds_a_pass: Of one sample's pass; None for the rule of docs/planning.md: two operations
            a parameter and token of a prompt, a step's least time for each later token.
    """
    costs, model = (ONE_A_TOKEN, find(claim.method).card.cost), claim.known_model
    reading = 2e9 * model.params * (TEXT + model.image) / (1e12 * TFLOPS * UTILISATION)
    seconds, passes, total = 0.0, [0.0, 0.0], 0.0
    for name in PARTS.get(claim.benchmark, (claim.benchmark,)):
        card = REGISTRY.get(name).card
        assert card.size is not None
        questions, tokens = card.size[1] * images / card.size[0], LENGTH[card.task]
        total += questions
        for number, cost in enumerate(costs):
            first, later = _passes(cost, tokens, claim.decoding.num_beams)
            passes[number] += questions * (first + later)
            took = (
                first * reading + later * STEP / BATCH
                if seconds_a_pass is None
                else (first + later) * seconds_a_pass
            )
            seconds += questions * took
    plain, ours = (count / total for count in passes)
    load = LOAD * runs * (seconds_a_pass is None)
    return Spent(
        passes=(plain, None if None in costs[1] else ours),
        hours=(seconds * runs + load) / 3600,
        runs=runs,
        seconds_a_pass=seconds_a_pass,
    )


def _passes(cost: Cost, tokens: int, beams: int) -> tuple[int, int]:
    """Return passes over prompts, and passes over later tokens of each beam.

    Those that depend on the answer are counted as the baseline's.
    """
    token, prompt = cost.token or 1, cost.prompt or 0
    return token + prompt, token * (tokens - 1) * beams
