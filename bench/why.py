"""Causes of the embedded model's hallucinations: what it claims, where it looks, its sinks.

    python -m bench.why [--limit 300] [--output docs/why.md]

Three questions about the baseline with greedy decoding, on held-out scenes:
1. Does co-occurrence with the objects present predict which absent objects it claims?
2. How much of its attention does the last prompt token give the image, by layer and head?
3. Do attention sinks exist in it, as VAR defines them?
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from sklearn.metrics import roc_auc_score

from halluc.benchmarks import _glyph
from halluc.calibration.probing import SAMPLES
from halluc.config import ModelConfig, RunConfig
from halluc.data import coco_objects as coco
from halluc.evaluation import Evaluation, evaluate
from halluc.interventions import At, BatchState, Method
from halluc.interventions.engine import intervene
from halluc.methods._sinks import published_sinks, sink_tokens
from halluc.methods.var import VAR
from halluc.models import VisionLanguageModel, load_model

TRAINING_SCENES = 5000
LOOKS = 64
BENCHMARKS = ("glyph_chair", "glyph_mme", "glyph_pope")  # as `make eval` runs them: read back


class Gaze(Method):
    """Method that edits nothing; it notes the last prompt token's attention, and tokens' size.

    Attributes:
        image, first: By layer, the share of attention on the image and on the first token [N, H].
        peak: By layer, the largest |x_d| / rms(x) of first, image and other tokens [N, 3].
        sinks: By layer, sink tokens among the image's and the share that are first [N, 2].
    """

    name = "gaze"
    rows = "last"

    def __init__(self, dims: tuple[int, ...], tau: float) -> None:
        super().__init__(self.Params())
        self.dims, self.tau = dims, tau
        self.image: dict[int, torch.Tensor] = {}
        self.first: dict[int, torch.Tensor] = {}
        self.peak: dict[int, torch.Tensor] = {}
        self.sinks: dict[int, torch.Tensor] = {}

    def attention_weights(self, at: At, weights: torch.Tensor) -> torch.Tensor:
        last = weights[:, :, -1]
        self.image[at.layer] = (last * at.image_columns[:, None]).sum(-1)
        start = at.real.int().argmax(1)
        self.first[at.layer] = last[torch.arange(len(last)), :, start]
        return weights

    def hidden(self, at: At, hidden: torch.Tensor) -> None:
        rms = (hidden.float().pow(2).mean(-1) + 1e-6).sqrt()
        size = hidden.float().abs().amax(-1) / rms
        first = torch.zeros_like(at.real)
        first[torch.arange(len(first)), at.real.int().argmax(1)] = True
        kinds = (first, at.image_columns, at.real & ~first & ~at.image_columns)
        self.peak[at.layer] = torch.stack([(size * kind).amax(1) for kind in kinds], 1)
        found = sink_tokens(hidden, self.dims, self.tau)
        counts = [(found & at.image_columns).sum(1), (found & first).sum(1)]
        self.sinks[at.layer] = torch.stack(counts, 1).float()


def cooccurrence() -> tuple[dict[tuple[str, str], float], Counter[str]]:
    """Count P(b present | a present) over training scenes, and the scenes with each category."""
    from halluc.world import scene

    single: Counter[str] = Counter()
    pairs: Counter[tuple[str, str]] = Counter()
    for index in range(TRAINING_SCENES):
        present = set(scene("train", index).categories)
        single.update(present)
        pairs.update(permutations(sorted(present), 2))
    return {(a, b): n / single[a] for (a, b), n in pairs.items()}, single


def affinity(absent: str, present: set[str], given: dict[tuple[str, str], float]) -> float:
    """Return how strongly the objects present suggest an absent one: mean P(absent | present)."""
    return float(np.mean([given.get((other, absent), 0.0) for other in sorted(present)]))


def caption_claims(run: Evaluation) -> Iterator[tuple[bool, str, set[str]]]:
    """Yield, for every scene and absent category, whether the description names it."""
    _, single = cooccurrence()
    for reading in run.scored["glyph_chair"].readings:
        present = set(reading.target["categories"])
        named = set(reading.prediction)
        for category in sorted(set(single) - present):
            yield category in named, category, present


def yes_claims(run: Evaluation) -> Iterator[tuple[bool, str, set[str]]]:
    """Yield, for every absent object that POPE asks for, whether it was claimed."""
    objects = {
        image.image: set(image.objects)
        for image in coco.image_objects(_glyph.files(_glyph.SPLIT, 3).instances)
    }
    seen = set()
    for reading in run.scored["glyph_pope"].readings:
        category = reading.answer.prompt.split(" in the image")[0].split(" ", 3)[3]
        if reading.target == "no" and (reading.image_id, category) not in seen:
            seen.add((reading.image_id, category))
            yield reading.prediction == "yes", category, objects[reading.image_id]


def auroc(claims: Iterator[tuple[bool, str, set[str]]], given: dict[tuple[str, str], float]) -> str:
    rows = [(claimed, affinity(category, present, given)) for claimed, category, present in claims]
    truth, score = zip(*rows, strict=True)
    return f"{roc_auc_score(truth, score):.3f} | {sum(truth)} of {len(truth)}"


def look(model: VisionLanguageModel) -> Gaze:
    from halluc.world import render, scene
    from halluc.world.language import CAPTION_PROMPTS

    var = VAR.for_model(model).params
    assert var.sink_dims is not None and var.tau is not None
    gaze = Gaze(var.sink_dims, var.tau)
    images = [render(scene("test", index)) for index in range(LOOKS)]
    inputs = model.encode([model.render(CAPTION_PROMPTS[0])] * LOOKS, images)
    with torch.inference_mode(), intervene(model, gaze, BatchState.of_inputs(model, inputs)):
        model.model(**inputs, use_cache=False, logits_to_keep=1)
    return gaze


def attention_table(gaze: Gaze) -> Iterator[str]:
    heads = range(next(iter(gaze.image.values())).shape[1])
    yield (
        "| layer | image, mean of heads | first token | "
        + " | ".join(f"h{h}" for h in heads)
        + " |"
    )
    yield "|---" * (len(heads) + 3) + "|"
    for layer, image in sorted(gaze.image.items()):
        cells = " | ".join(f"{x:.2f}" for x in image.mean(0).tolist())
        first = float(gaze.first[layer].mean())
        yield f"| {layer} | {float(image.mean()):.2f} | {first:.2f} | {cells} |"


def sink_table(gaze: Gaze) -> Iterator[str]:
    yield "| layer | largest first | largest image | largest other | image sinks | first a sink |"
    yield "|---|---|---|---|---|---|"
    for layer, peak in sorted(gaze.peak.items()):
        cells = " | ".join(f"{x:.1f}" for x in peak.amax(0).tolist())
        image, first = gaze.sinks[layer].mean(0).tolist()
        yield f"| {layer} | {cells} | {image:.2f} | {first:.0%} |"


def hardness_table(scenes: int = 500) -> Iterator[str]:
    from halluc.world import scene

    bands = Counter(thing.band for i in range(scenes) for thing in scene("test", i).things)
    total = sum(bands.values())
    yield "| clear | hard | barely visible | things a scene |"
    yield "|---|---|---|---|"
    shares = " | ".join(f"{bands[band] / total:.0%}" for band in ("clear", "hard", "barely"))
    yield f"| {shares} | {total / scenes:.1f} |"


def report(limit: int, runs: Path, name: str) -> Iterator[str]:
    model = load_model(name)
    config = RunConfig(model=ModelConfig(name=name), benchmarks=BENCHMARKS, limit=limit)
    run = evaluate(config, runs, model=model)
    given, _ = cooccurrence()
    gaze = look(model)
    known = published_sinks(model.model.config) is not None
    source = "published" if known else f"measured on {SAMPLES} samples"
    yield "# Why the embedded model hallucinates"
    yield f"\nMade by `make bench` (bench/why.py) on {limit} held-out scenes, greedy decoding.\n"
    yield "## How hard the scenes are\n"
    yield "Share of annotated things by how much there is to see of them, 500 test scenes.\n"
    yield from hardness_table()
    yield "\n## Co-occurrence predicts what it hallucinates\n"
    yield (
        "Score of an absent category: the mean over the objects present of P(category | object) in "
        f"{TRAINING_SCENES} training scenes.\n"
    )
    yield "| claims of absent objects | AUROC | claimed |\n|---|---|---|"
    yield f"| yes to POPE's questions | {auroc(yes_claims(run), given)} |"
    yield f"| named in descriptions | {auroc(caption_claims(run), given)} |"
    yield "\n## Where the last prompt token looks\n"
    yield f"Share of its attention, mean over {LOOKS} scenes; a column a head.\n"
    yield from attention_table(gaze)
    yield "\n## Sinks\n"
    yield (
        f"|x_d| / rms(x) can reach sqrt(D); a sink exceeds tau = {gaze.tau:.2f} in dimension "
        f"{' or '.join(map(str, gaze.dims))} ({source}). Largest values over "
        f"{LOOKS} scenes and any dimension; sinks among the image's tokens a scene.\n"
    )
    yield from sink_table(gaze)
    if not any(found.any() for found in gaze.sinks.values()):
        yield (
            "\nThere are none: VAR has nothing to redistribute in this model and changes nothing. "
            "A test plants a sink, and VAR moves its attention (tests/methods/test_var.py)."
        )


def main(
    limit: Annotated[int, typer.Option(min=1)] = 300,
    runs: Path = Path("runs"),
    model: str = "glyph",
    output: Path | None = None,
) -> None:
    """Print the report as markdown, and write it to a file."""
    text = "\n".join(report(limit, runs, model)) + "\n"
    print(text)
    if output is not None:
        output.write_text(text)


if __name__ == "__main__":
    typer.run(main)
