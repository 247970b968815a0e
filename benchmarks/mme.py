"""MME: perception and cognition in fourteen subtasks, and the four that ask of hallucination."""

from __future__ import annotations

from typing import ClassVar

from halluc.benchmarks._mme import REPO, REVISION, MmePhotographs, score_metrics
from halluc.scoring.base import benchmark
from halluc.scoring.card import BenchmarkCard
from halluc.scoring.mme.metric import COGNITION, HALLUCINATION, PERCEPTION

PAPER = "https://arxiv.org/abs/2306.13394"
LICENCE = "academic use; images on request"
CITATION = (
    "Fu et al., MME: A Comprehensive Evaluation Benchmark for Multimodal Large Language Models, "
    "2023"
)


@benchmark("mme")
class Mme(MmePhotographs):
    """1187 images, two questions each; perception out of 2000, cognition out of 800."""

    subtasks = (*PERCEPTION, *COGNITION)
    sums: ClassVar = {"perception": PERCEPTION, "cognition": COGNITION}
    card = BenchmarkCard(
        title="MME",
        paper=PAPER,
        licence=LICENCE,
        task="yes_no",
        metrics=score_metrics((*PERCEPTION, *COGNITION), ("perception", "cognition")),
        citation=CITATION,
        dataset=REPO,
        revision=REVISION,
        size=(1187, 2374),
    )


@benchmark("mme_hallucination")
class MmeHallucination(MmePhotographs):
    """Existence, count, position and color, out of 800: what papers on hallucination report."""

    subtasks = HALLUCINATION
    sums: ClassVar = {"total": HALLUCINATION}
    card = BenchmarkCard(
        title="MME, hallucination subtasks",
        paper=PAPER,
        licence=LICENCE,
        task="yes_no",
        metrics=score_metrics(HALLUCINATION),
        citation=CITATION,
        dataset=REPO,
        revision=REVISION,
        size=(120, 240),
    )
