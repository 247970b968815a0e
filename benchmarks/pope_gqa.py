"""POPE on GQA images, their objects found by a segmentation model."""

from __future__ import annotations

from dataclasses import replace

from halluc.benchmarks._pope import PopeBenchmark
from halluc.benchmarks._yes_no import rate_metrics
from halluc.benchmarks.pope_coco import CITATION, HEADLINE
from halluc.scoring.base import BenchmarkCard, benchmark
from halluc.scoring.pope.questions import STRATEGIES


@benchmark("pope_gqa")
class PopeGqa(PopeBenchmark):
    """500 images of GQA, objects by SEEM; official files only, none on the hub."""

    stem = "gqa_pope"
    card = BenchmarkCard(
        title="POPE (GQA)",
        paper="https://arxiv.org/abs/2305.10355",
        licence="MIT (questions); images of GQA",
        task="yes_no",
        metrics=rate_metrics(STRATEGIES, HEADLINE),
        citation=CITATION,
        dataset="gqa_pope_*.json of RUCAIBox/POPE or DAMO-NLP-SG/VCD",
        size=(500, 9000),
    )


@benchmark("pope_gqa_chat")
class PopeGqaChat(PopeGqa):
    """The same questions as conversations, see `pope_coco_chat`."""

    chat = True
    max_new_tokens = 512
    card = replace(PopeGqa.card, title="POPE (GQA), conversations")
