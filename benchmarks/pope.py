"""POPE on photographs: is there a dog in the image?"""

from __future__ import annotations

from halluc.benchmarks._pope import PopeBenchmark
from halluc.benchmarks._yes_no import rate_metrics
from halluc.data.hub import Dataset
from halluc.scoring.base import benchmark
from halluc.scoring.card import BenchmarkCard
from halluc.scoring.pope.questions import STRATEGIES

HEADLINE = ("random/accuracy", "popular/accuracy", "adversarial/accuracy", "f1")
REPO = "lmms-lab/POPE"
REVISION = "4db1276663dfa5eb8ad16a52d24c31a09e470896"


def card(title: str, images: str, dataset: str, revision: str = "") -> BenchmarkCard:
    """Describe POPE on the images of one data set."""
    return BenchmarkCard(
        title=title,
        paper="https://arxiv.org/abs/2305.10355",
        licence=f"MIT (questions); images of {images}",
        task="yes_no",
        metrics=rate_metrics(STRATEGIES, HEADLINE),
        citation="Li et al., Evaluating Object Hallucination in Large Vision-Language Models, "
        "EMNLP 2023",
        dataset=dataset,
        revision=revision,
        size=(500, 9000),
    )


@benchmark("pope_coco")
class PopeCoco(PopeBenchmark):
    """500 images of COCO val2014 and their annotated objects; published numbers are of these."""

    stem = "coco_pope"
    dataset = Dataset(
        repo=REPO,
        files={strategy: f"Full/{strategy}-*.parquet" for strategy in STRATEGIES},
        columns=("question_id", "question", "answer", "image_source"),
        revision=REVISION,
    )
    card = card("POPE (COCO)", "COCO val2014", REPO, REVISION)


@benchmark("pope_aokvqa")
class PopeAokvqa(PopeBenchmark):
    """500 images of COCO val2014, objects found by SEEM; the authors' files, not on the hub."""

    stem = "aokvqa_pope"
    card = card(
        "POPE (A-OKVQA)",
        "COCO val2014",
        "aokvqa_pope_*.json of RUCAIBox/POPE or DAMO-NLP-SG/VCD",
    )


@benchmark("pope_gqa")
class PopeGqa(PopeBenchmark):
    """500 images of GQA, objects found by SEEM; the authors' files, not on the hub."""

    stem = "gqa_pope"
    card = card("POPE (GQA)", "GQA", "gqa_pope_*.json of RUCAIBox/POPE or DAMO-NLP-SG/VCD")
