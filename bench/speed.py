"""Speed of the harness: ratios within one run, on this machine.

    python -m bench.speed [pope methods caches ...] [--geometry lab] [--device cpu]

Rounds are interleaved: what is compared is measured in turns, and the median of paired ratios is
shown with the least and the largest.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Annotated

import torch
import transformers
import typer

from bench.decode import caches, methods, searches
from bench.geometry import SHAPES, build, plain_loop, questions
from bench.invariance import invariance
from bench.timing import GREEDY, ours, prepared, seconds, spread
from halluc.decoding import answer_batches, answer_samples, in_lockstep
from halluc.interventions import REGISTRY, Method
from halluc.interventions.shared_prefix import Memo
from halluc.memory import keep_freed_memory
from halluc.models import VisionLanguageModel
from halluc.provenance import where
from halluc.types import Answer, Sample

PER_IMAGE = (
    (18, 2, (18,)),
    (6, 4, (6,)),
    (2, 8, (2,)),
    (1, 16, (1,)),
    (18, 4, (10, 10, 10, 11)),
)
"""Questions about each image, images, and how many of the questions differ.

The last row is what the 9,000 rows of POPE's three COCO files hold: 5,127 distinct questions about
500 images.
"""


def pope(model: VisionLanguageModel, rounds: int) -> Iterator[str]:
    """Compare questions a second with a plain loop over `generate`."""
    yield "## POPE: questions a second, against a plain loop at batch 1\n"
    yield "| questions an image | distinct | faster | plain, ms | ours, ms | equal answers |"
    yield "|---|---|---|---|---|---|"
    for each, images, distinct in PER_IMAGE:
        samples = questions(images, each, distinct)
        plain_loop(model, samples[:2])
        ours(model, samples[: 2 * each])
        times = [
            (
                seconds(partial(plain_loop, model, samples)),
                seconds(partial(ours, model, samples)),
            )
            for _ in range(rounds)
        ]
        faster = [slow / fast for slow, fast in times]
        texts = [answer.text for answer in ours(model, samples)]
        equal = sum(a == b for a, b in zip(texts, plain_loop(model, samples), strict=True))
        slow, fast = (1000 * median(column) / len(samples) for column in zip(*times, strict=True))
        yield (
            f"| {each} | {sum(distinct) / len(distinct):g} | **{spread(faster)}** | {slow:.0f} | "
            f"{fast:.1f} | {equal} of {len(texts)} |"
        )


def memory(model: VisionLanguageModel, rounds: int) -> Iterator[str]:
    """Measure what keeping freed memory saves: eight long prompts in a batch, in two processes."""
    yield "\n## Freed memory kept (`halluc.memory`), against glibc's default\n"
    spawn = get_context("spawn")
    with (
        ProcessPoolExecutor(1, spawn, _start, (True,)) as keeping,
        ProcessPoolExecutor(1, spawn, _start, (False,)) as plain,
    ):
        pairs = [
            (plain.submit(_eight).result(), keeping.submit(_eight).result())
            for _ in range(rounds + 1)
        ][1:]
    yield f"A batch of eight prompts is {spread([a / b for a, b in pairs])} times as fast."


def _start(keep: bool) -> None:
    if keep:
        keep_freed_memory()


@cache
def _lab() -> VisionLanguageModel:
    return build("lab", "cpu", torch.float32)


def _eight() -> float:
    return seconds(partial(ours, _lab(), questions(8, 1, most=1), batch_size=8))


def captions(model: VisionLanguageModel, rounds: int) -> Iterator[str]:
    """Time descriptions of 128 tokens: batch 16 against batch 1."""
    yield "\n## Captions of 128 tokens\n"
    samples = questions(16, 1, most=128)
    ratios = [
        seconds(lambda: ours(model, samples, batch_size=1))
        / seconds(lambda: ours(model, samples, batch_size=16))
        for _ in range(max(3, rounds // 2))
    ]
    yield f"Batch 16 is {spread(ratios)} times as fast as batch 1."


def sweep(model: VisionLanguageModel, rounds: int) -> Iterator[str]:
    """Time twelve points of PAINT in one sweep against twelve runs one after the other."""
    yield "\n## A sweep of 12 points against 12 runs\n"
    yield "| questions an image | tokens | faster | 12 runs, s | sweep, s | equal answers |"
    yield "|---|---|---|---|---|---|"
    paint = REGISTRY.get("paint")
    points = [paint.for_model(model, {"alpha": i / 10}) for i in range(12)]
    for each, images, most in ((6, 2, 4), (1, 4, 4), (1, 4, 64)):
        samples = questions(images, each, most=most)
        apart, together = (how(model, points, samples) for how in (one_by_one, side_by_side))
        times = [
            (
                seconds(partial(one_by_one, model, points, samples)),
                seconds(partial(side_by_side, model, points, samples)),
            )
            for _ in range(max(2, rounds // 3))
        ]
        pairs = [
            (a.text, b.text)
            for one, other in zip(apart, together, strict=True)
            for a, b in zip(one, other, strict=True)
        ]
        slow, fast = (median(column) for column in zip(*times, strict=True))
        yield (
            f"| {each} | {most} | **{spread([a / b for a, b in times])}** | {slow:.1f} | "
            f"{fast:.1f} | {sum(a == b for a, b in pairs)} of {len(pairs)} |"
        )


def together(model: VisionLanguageModel, rounds: int) -> Iterator[str]:
    """Compare methods that read prompts as the model does, in one command and one after another."""
    names = [
        name
        for name in REGISTRY.names()
        if REGISTRY.get(name).prefix_depends_on == "nothing"
        and not {"streams", "revise"} & set(REGISTRY.get(name).declared())
    ]
    points = [prepared(name, model) for name in names]
    yield "\n## Several methods in one command\n"
    yield (
        f"{', '.join(names)}: they read what comes before the question as the model does, so it is "
        "read once for all; each still reads the questions and answers them itself. "
        f"{rounds} rounds."
    )
    yield "\n| questions an image | faster than one after another | equal answers |\n|---|---|---|"
    for each in (1, 6, 18):
        samples = questions(2, each)
        one_by_one(model, points[:1], samples[:each])
        times, pairs = [], []
        for _ in range(rounds):
            started = time.perf_counter()
            alone = one_by_one(model, points, samples)
            between = time.perf_counter()
            shared = side_by_side(model, points, samples)
            times.append((between - started, time.perf_counter() - between))
            both = zip(chain(*alone), chain(*shared), strict=True)
            pairs = [(a.text, b.text) for a, b in both]
        same = sum(a == b for a, b in pairs)
        yield f"| {each} | **{spread([a / b for a, b in times])}** | {same} of {len(pairs)} |"


def one_by_one(
    model: VisionLanguageModel, points: Sequence[Method], samples: Sequence[Sample]
) -> list[list[Answer]]:
    """Return each point's answers, one run after the other."""
    return [
        sorted(answer_samples(model, point, samples, GREEDY), key=lambda answer: answer.id)
        for point in points
    ]


def side_by_side(
    model: VisionLanguageModel, points: Sequence[Method], samples: Sequence[Sample]
) -> list[list[Answer]]:
    """Return each point's answers, as a sweep gives them."""
    memo = Memo()
    answers: list[list[Answer]] = [[] for _ in points]
    streams = {
        i: answer_batches(model, point, samples, GREEDY, memo=memo)
        for i, point in enumerate(points)
    }
    for i, batch in in_lockstep(streams, dict.fromkeys(streams, len(samples))):
        answers[i] += batch
    return [sorted(of_point, key=lambda answer: answer.id) for of_point in answers]


def growth(model: VisionLanguageModel, rounds: int) -> Iterator[str]:
    """Measure memory over many samples, and time over many image tokens."""
    yield "\n## Growth\n"
    yield "| answers | resident memory grew by |\n|---|---|"
    small = build("lab", "cpu", torch.float32, side=28)
    before = None
    for count in (1000, 5000, 10000):
        for _ in answer_samples(
            small, prepared("baseline", small), questions(count // 5, 5, most=1), GREEDY
        ):
            pass
        now = _resident()
        yield f"| {count} | {'-' if before is None else f'{(now - before) / 2**20:.0f} MiB'} |"
        before = before or now
    yield "\n| image tokens | ms a question, 6 an image |\n|---|---|"
    for side in (112, 224, 336, 560, 756):
        sized = build("lab", str(model.device), model.model.dtype, side=side)
        samples = questions(2, 6)
        ours(sized, samples)
        took = median(seconds(partial(ours, sized, samples)) for _ in range(3))
        yield f"| {(side // 14) ** 2} | {1000 * took / len(samples):.0f} |"


def heading(geometry: str, device: str, dtype: torch.dtype, rounds: int) -> Iterator[str]:
    """Say what was measured, and on which machine."""
    machine = where()
    yield "# Performance\n"
    yield (
        f"Made by `make bench` (bench/speed.py) on {machine['cpus']} {machine['machine']} cores, "
        f"{machine['gpu'] or 'no GPU'}, torch {torch.__version__}, transformers "
        f"{transformers.__version__}: a random model of the shape {geometry!r}, {device}, "
        f"{str(dtype).removeprefix('torch.')}, {torch.get_num_threads()} threads. What is compared "
        f"is measured in turns, {rounds} rounds; shown are the median of the paired ratios, the "
        "least and the largest."
    )
    if device == "cpu":
        yield (
            "\nNothing was measured on a GPU yet: `python -m bench.speed --device cuda --geometry "
            "llava-1.5-7b`.\n"
        )


def _resident() -> int:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * 4096


SECTIONS = {
    "pope": pope,
    "methods": methods,
    "searches": searches,
    "caches": caches,
    "memory": memory,
    "invariance": invariance,
    "captions": captions,
    "sweep": sweep,
    "together": together,
    "growth": growth,
}


def main(
    sections: Annotated[list[str] | None, typer.Argument(help=", ".join(SECTIONS))] = None,
    geometry: Annotated[str, typer.Option(help=", ".join(SHAPES))] = "lab",
    device: str = "cpu",
    rounds: Annotated[int, typer.Option(min=1)] = 7,
    output: Path | None = None,
) -> None:
    """Print what was measured as markdown, and write it to a file."""
    keep_freed_memory()
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    model = build(geometry, device, dtype)
    lines = []
    for line in heading(geometry, device, dtype, rounds):
        print(line)
        lines.append(line)
    for name in sections or list(SECTIONS):
        for line in SECTIONS[name](model, rounds):
            print(line, flush=True)
            lines.append(line)
    if output is not None:
        output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    typer.run(main)
