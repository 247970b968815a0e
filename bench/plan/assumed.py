"""What the planning page assumes and did not measure: GPUs, models, sizes, lengths of answers."""

from __future__ import annotations

from dataclasses import dataclass

from halluc.scoring.base import REGISTRY


@dataclass(frozen=True)
class Gpu:
    """A GPU by its maker's figures, and what an hour of it costs to rent.

    Attributes:
        tflops: Peak of dense bfloat16 products, in 10^12 operations a second.
        bandwidth: Of its memory, in 10^12 bytes a second.
        price: A range of dollars an hour.
    """

    name: str
    tflops: float
    bandwidth: float
    price: tuple[float, float]


GPUS = {
    "h200": Gpu("H200", 989, 4.8, (2.5, 4.5)),
    "a100": Gpu("A100 80GB", 312, 2.04, (1.2, 2.5)),
}


@dataclass(frozen=True)
class Assumed:
    """What turns tokens into seconds and money; every part is an option of the command.

    Attributes:
        utilisation: The share of `tflops` that reading prompts reaches.
        bandwidth_share: The share of `bandwidth` that writing tokens reaches.
        step: Seconds that a step of decoding takes at least: Python, and starting kernels.
        batch: Prompts that are answered together.
        load: Seconds in which a process starts and loads its model.
    """

    gpu: Gpu = GPUS["h200"]
    utilisation: float = 0.4
    bandwidth_share: float = 0.6
    step: float = 0.025
    batch: int = 16
    load: float = 60.0


@dataclass(frozen=True)
class Model:
    """A checkpoint as far as its cost goes.

    Attributes:
        params: Its parameters, in 10^9.
        image: Tokens of a picture of 640 x 480 pixels.
        cached: Bytes of keys and values that a token leaves, in bfloat16.
    """

    name: str
    params: float
    image: int
    cached: int


MODELS = (
    Model("LLaVA-1.5-7B", 7.1, 576, 524_288),
    Model("LLaVA-1.5-13B", 13.4, 576, 819_200),
    Model("LLaVA-NeXT-Mistral-7B", 7.6, 2340, 131_072),
    Model("LLaVA-NeXT-Vicuna-13B", 13.4, 2340, 819_200),
    Model("Qwen2.5-VL-3B", 3.8, 391, 36_864),
    Model("Qwen2.5-VL-7B", 8.3, 391, 57_344),
    Model("Qwen3-VL-8B", 8.8, 300, 147_456),
    Model("InternVL3-8B", 7.9, 3328, 57_344),
    Model("Gemma 3 4B", 4.3, 256, 139_264),
    Model("Gemma 3 12B", 12.2, 256, 393_216),
)

TEMPLATE, QUESTION = 40, 25
"""Tokens of text before the image's end and after it."""

LENGTH = {"yes_no": 5, "caption": 110, "open": 80}
"""Tokens of an answer, by task, where its limit is not lower."""


@dataclass(frozen=True)
class Asks:
    """What a benchmark asks.

    Attributes:
        images, questions: Their numbers.
        distinct: Questions that differ in image or wording.
        parts: The task, the number of questions and the limit of tokens of each of its parts.
        source: Where the numbers are from.
    """

    name: str
    images: int
    questions: int
    distinct: int
    parts: tuple[tuple[str, int, int], ...]
    source: str


_POPE = (("yes_no", 9000, 16),)
_KNOWN: dict[str, tuple[tuple[int, int], tuple[tuple[str, int, int], ...], str]] = {
    "pope_coco": ((500, 5127), _POPE, "card; repeats counted"),
    "pope_aokvqa": ((500, 5145), _POPE, "card; repeats counted"),
    "pope_gqa": ((500, 5171), _POPE, "card; repeats counted"),
    "amber": ((1004, 15220), (("yes_no", 14216, 16), ("open", 1004, 512)), "card"),
    "mme": ((1187, 2374), (("yes_no", 2374, 16),), "card"),
    "chair_coco": ((500, 500), (("caption", 500, 512),), "card"),
    "chair_coco_64": ((500, 500), (("caption", 500, 64),), "card"),
    "dash_b": ((2682, 2682), (("yes_no", 2682, 16),), "its file; one question an image"),
    "hallusionbench": ((346, 951), (("yes_no", 951, 128),), "its file"),
    "object_halbench": ((300, 300), (("caption", 300, 512),), "its file"),
    "haloquest": ((608, 608), (("open", 608, 128),), "its table; images unknown, at most these"),
    "openchair": ((2000, 2000), (("caption", 2000, 512),), "its paper"),
    "mmvp": ((300, 300), (("open", 300, 64),), "its paper"),
    "mmhal_bench": ((96, 96), (("open", 96, 512),), "its paper"),
    "r_bench": ((4500, 8000), (("yes_no", 8000, 16),), "unknown; a guess"),
}
"""By benchmark: images and questions that differ; parts; where this is from.

POPE's repeats were counted in the authors' three files of each.
"""


def benchmarks() -> list[Asks]:
    """List the fifteen benchmarks with real images, with the sizes of cards where they have one.

    Raises:
        ValueError: If a card says other numbers than these.
    """
    found = []
    for name, ((images, distinct), parts, source) in _KNOWN.items():
        asks = Asks(name, images, sum(n for _, n, _ in parts), distinct, parts, source)
        size = REGISTRY.get(name).card.size
        if size != ((asks.images, asks.questions) if source.startswith("card") else None):
            raise ValueError(f"{name}: the card says {size}, the plan {asks}")
        found.append(asks)
    return found
