"""Whether batches and shared reading change answers: they may only where two tokens tie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.geometry import plain_loop
from bench.timing import GREEDY, prepared
from halluc.decoding import answer_samples
from halluc.models import VisionLanguageModel
from halluc.models.load import load_model
from halluc.samples import Answer, Sample
from halluc.scoring.benchmark import REGISTRY

_HOW: dict[str, dict[str, object]] = {
    "batch 1": {"batch_size": 1, "share": False},
    "batch 32": {"batch_size": 32, "share": False},
    "batch 32, shared": {"batch_size": 32, "share": True},
}


def invariance(_: VisionLanguageModel, rounds: int) -> Iterator[str]:
    """Answers of the embedded model in batches against those of a plain loop, by precision."""
    yield "\n## Answers in batches against a plain loop, glyph\n"
    yield (
        "| dtype | batches | POPE: equal | captions: equal | largest change of log p(yes) |"
        "\n|---|---|---|---|---|"
    )
    ties = []
    for dtype in ("float32", "bfloat16"):
        model = load_model("glyph", dtype=dtype, device="cpu")
        asked = {
            name: list(REGISTRY.get(name)().asked(images))
            for name, images in (("glyph_pope", 40), ("glyph_chair", 40))
        }
        plain = {name: plain_loop(model, samples) for name, samples in asked.items()}
        alone: dict[str, Answer] = {}
        for how, options in _HOW.items():
            cells = []
            for name, samples in asked.items():
                found = answered(model, samples, options)
                pairs = list(zip(samples, found, plain[name], strict=True))
                cells.append(f"{sum(a.text == text for _, a, text in pairs)} of {len(pairs)}")
                if dtype == "float32":
                    ties += [(how, one, a.text, text) for one, a, text in pairs if a.text != text]
                if name == "glyph_pope":
                    alone = alone or {a.id: a for a in found}
                    moved = max(change(a, alone[a.id]) for a in found)
            yield f"| {dtype} | {how} | {cells[0]} | {cells[1]} | {moved:.1e} |"
    double = load_model("glyph", dtype="float64", device="cpu")
    for how, sample, ours, theirs in ties:
        (judge,) = plain_loop(double, [sample])
        side = {ours: "ours", theirs: "the plain loop"}.get(judge, "neither")
        yield f"\nfloat32, {how}: {sample.id} differs; float64 agrees with {side}."
    if not ties:
        yield "\nIn float32 no answer differs."


def answered(
    model: VisionLanguageModel, samples: Sequence[Sample], options: dict[str, object]
) -> list[Answer]:
    """Greedy answers in the order of the samples."""
    found = answer_samples(model, prepared("greedy", model), samples, GREEDY, **options)  # type: ignore[arg-type]
    by_id = {answer.id: answer for answer in found}
    return [by_id[sample.id] for sample in samples]


def change(one: Answer, other: Answer) -> float:
    """How far log p(yes) of two answers lies apart."""
    assert one.yes_no is not None and other.yes_no is not None
    return abs(one.yes_no[0] - other.yes_no[0])
