"""POPE on COCO photographs: is there a dog in the image?"""

from __future__ import annotations

from dataclasses import replace

from halluc.benchmarks._pope import PopeBenchmark
from halluc.benchmarks._yes_no import rate_metrics
from halluc.data.hub import Dataset
from halluc.scoring.base import BenchmarkCard, benchmark
from halluc.scoring.pope.questions import STRATEGIES

CITATION = "Li et al., Evaluating Object Hallucination in Large Vision-Language Models, EMNLP 2023"
HEADLINE = ("random/accuracy", "popular/accuracy", "adversarial/accuracy", "f1")
REVISION = "4db1276663dfa5eb8ad16a52d24c31a09e470896"


@benchmark("pope_coco")
class PopeCoco(PopeBenchmark):
    """500 images of val2014, annotated objects; the files that POPE's numbers are quoted of."""

    stem = "coco_pope"
    dataset = Dataset(
        repo="lmms-lab/POPE",
        files={strategy: f"Full/{strategy}-*.parquet" for strategy in STRATEGIES},
        columns=("question_id", "question", "answer", "image_source"),
        revision=REVISION,
    )
    card = BenchmarkCard(
        title="POPE (COCO)",
        paper="https://arxiv.org/abs/2305.10355",
        licence="MIT (questions); images of COCO val2014",
        task="yes_no",
        metrics=rate_metrics(STRATEGIES, HEADLINE),
        citation=CITATION,
        dataset="lmms-lab/POPE",
        revision=REVISION,
        size=(500, 9000),
    )


@benchmark("pope_coco_chat")
class PopeCocoChat(PopeCoco):
    """The same questions as conversations, six turns an image and strategy, as PAI puts them."""

    chat = True
    max_new_tokens = 512
    card = replace(PopeCoco.card, title="POPE (COCO), conversations")
