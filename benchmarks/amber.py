"""AMBER: descriptions checked against annotated objects, and 14,216 yes/no questions."""

from __future__ import annotations

from halluc.benchmarks._amber import (
    COMMIT,
    DISCRIMINATIVE,
    GENERATIVE,
    AmberBenchmark,
)
from halluc.scoring.base import benchmark
from halluc.scoring.card import BenchmarkCard, Metric


def card(
    title: str, metrics: tuple[Metric, ...], questions: int, task: str = "open"
) -> BenchmarkCard:
    """Describe one of AMBER's tasks."""
    return BenchmarkCard(
        title=title,
        paper="https://arxiv.org/abs/2311.07397",
        licence="Apache-2.0",
        task="yes_no" if task == "yes_no" else "open",
        metrics=metrics,
        citation="Wang et al., AMBER: An LLM-free Multi-dimensional Benchmark for MLLMs "
        "Hallucination Evaluation, 2023",
        dataset="junyangwang0410/AMBER on GitHub; images by a mirror on the hub",
        revision=COMMIT,
        size=(1004, questions),
    )


@benchmark("amber")
class Amber(AmberBenchmark):
    """Both tasks, descriptions and yes/no questions, on 1004 images."""

    card = card("AMBER", (*GENERATIVE, *DISCRIMINATIVE), 15_220)


@benchmark("amber_generative")
class AmberGenerative(AmberBenchmark):
    """One description an image."""

    discriminative = False
    card = card("AMBER, generative", GENERATIVE, 1004)


@benchmark("amber_discriminative")
class AmberDiscriminative(AmberBenchmark):
    """Existence, attributes and relations; "No" is the positive class."""

    generative = False
    card = card("AMBER, discriminative", DISCRIMINATIVE, 14_216, task="yes_no")
