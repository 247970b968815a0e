"""Comparison of answers in batches with answers alone: they may differ only where tokens tie."""

from __future__ import annotations

from collections.abc import Iterator

from bench.geometry import plain_loop
from bench.timing import ours
from halluc.models import VisionLanguageModel
from halluc.models.load import load_model
from halluc.models.names import EMBEDDED
from halluc.scoring.base import REGISTRY
from halluc.types import Answer

_HOW = {"batch 1": (1, False), "batch 32": (32, False), "batch 32, shared": (32, True)}
"""Batch size, and True if shared prefixes are read once."""


def invariance(_: VisionLanguageModel, rounds: int) -> Iterator[str]:
    """Compare answers of the embedded models in batches with those of a plain loop."""
    for name in EMBEDDED:
        yield from _of_model(name)


def _of_model(model_name: str) -> Iterator[str]:
    yield f"\n## Answers in batches against a plain loop, {model_name}\n"
    yield (
        "| dtype | batches | POPE: equal | captions: equal | largest change of log p(yes) |"
        "\n|---|---|---|---|---|"
    )
    ties = []
    for dtype in ("float32", "bfloat16"):
        model = load_model(model_name, dtype=dtype, device="cpu")
        by_benchmark = {
            name: list(REGISTRY.get(name)().asked(images))
            for name, images in (("glyph_pope", 40), ("glyph_chair", 40))
        }
        plain = {name: plain_loop(model, samples) for name, samples in by_benchmark.items()}
        alone: dict[str, Answer] = {}
        for how, options in _HOW.items():
            cells = []
            for name, samples in by_benchmark.items():
                answers = ours(model, samples, *options)
                pairs = list(zip(samples, answers, plain[name], strict=True))
                cells.append(f"{sum(a.text == text for _, a, text in pairs)} of {len(pairs)}")
                if dtype == "float32":
                    ties += [(how, s, a.text, text) for s, a, text in pairs if a.text != text]
                if name == "glyph_pope":
                    alone = alone or {a.id: a for a in answers}
                    moved = max(change(a, alone[a.id]) for a in answers)
            yield f"| {dtype} | {how} | {cells[0]} | {cells[1]} | {moved:.1e} |"
    double = load_model(model_name, dtype="float64", device="cpu")
    for how, sample, text, plainly in ties:
        (judge,) = plain_loop(double, [sample])
        side = {text: "ours", plainly: "the plain loop"}.get(judge, "neither")
        yield f"\nfloat32, {how}: {sample.id} differs; float64 agrees with {side}."
    if not ties:
        yield "\nIn float32 no answer differs."


def change(answer: Answer, other: Answer) -> float:
    """Return the distance of log p(yes) between two answers."""
    ours, theirs = (a.yes_no[0] if a.yes_no else None for a in (answer, other))
    assert ours is not None and theirs is not None
    return abs(ours - theirs)
