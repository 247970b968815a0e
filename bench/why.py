"""Causes of the embedded models' hallucinations: what each claims, sees and looks at, its sinks.

    python -m bench.why [--limit 300] [--output docs/why.md]

Everything is about the baseline with greedy decoding, on held-out scenes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from math import nan, sqrt
from pathlib import Path
from typing import Annotated

import torch
import typer

from bench.claims import (
    TRAINING_SCENES,
    auroc,
    caption_claims,
    cooccurrence,
    seen_by_band,
    yes_claims,
)
from bench.var_moves import moved_by_var
from halluc.config import ModelConfig, RunConfig
from halluc.evaluation import Evaluation, evaluate
from halluc.lab.estimates import mean, spoken
from halluc.lab.experiments.length import slope, watch
from halluc.lab.found_sinks import ATTENDED, FoundSinks, look
from halluc.lab.questions import scenes
from halluc.methods.var import VAR
from halluc.models import VisionLanguageModel, load_model
from halluc.models.massive import MASSIVE
from halluc.models.names import EMBEDDED
from halluc.scoring.bootstrap import Interval
from halluc.world import scene

LOOKS = 64
LONG = 30
"""Tokens that a description needs to tell how attention changes over it."""
BENCHMARKS = ("glyph_chair", "glyph_mme", "glyph_pope")  # as `make eval` runs them: read back


def hardness_table(number: int = 500) -> Iterator[str]:
    """Tell how much there is to see of the things in scenes."""
    bands = Counter(thing.band for i in range(number) for thing in scene("test", i).things)
    total = sum(bands.values())
    yield "| clear | hard | barely visible | things a scene |"
    yield "|---|---|---|---|"
    shares = " | ".join(f"{bands[band] / total:.0%}" for band in ("clear", "hard", "barely"))
    yield f"| {shares} | {total / number:.1f} |"


def causes(model: VisionLanguageModel, run: Evaluation) -> list[str]:
    """Measure the four causes; the cells of a row of the table."""
    given, _ = cooccurrence()
    yes = run.scores["glyph_pope"].values["adversarial/yes_ratio"]
    seen = [f"{said / asked:.0%}" for asked, said in seen_by_band(run).values()]
    watched = watch(model, scenes(LOOKS))
    falls = [slope(one.image.mean(1)) for one in watched if len(one.even) >= LONG]
    return [
        auroc(yes_claims(run), given),
        auroc(caption_claims(run), given),
        spoken(Interval(*(nan if x is None else x for x in (yes.value, yes.low, yes.high))), 100),
        " / ".join(seen),
        spoken(mean(falls), 100, sign="+"),
    ]


def sink_table(model: VisionLanguageModel, found: Sequence[FoundSinks]) -> Iterator[str]:
    """Tell of each layer how massive tokens are and how many of them are sinks."""
    limit = sqrt(model.model.config.get_text_config().hidden_size)
    yield (
        "| layer | first token | largest image token | image sinks a scene | first a sink | "
        "attention to massive image tokens |"
    )
    yield "|---|---|---|---|---|---|"
    for layer in range(len(found[0].first)):
        first, largest, together = (
            float(torch.stack([getattr(one, part)[layer] for one in found]).mean())
            for part in ("first", "largest", "together")
        )
        count = sum(int(one.sinks[layer].sum()) for one in found) / len(found)
        share = sum(bool(one.first_sinks[layer]) for one in found) / len(found)
        yield (
            f"| {layer} | {first * limit:.1f} | {largest * limit:.1f} | {count:.1f} | {share:.0%} "
            f"| {together:.2f} |"
        )


def _moved(model: VisionLanguageModel) -> str:
    """Say where VAR moves attention to image tokens, and how much."""
    moved = moved_by_var(model, scenes(LOOKS))
    return (
        f"It gives image tokens attention in {sum(one > 0 for one in moved)} of {LOOKS} scenes: "
        f"{100 * sum(moved) / LOOKS:.0f}% of the last row's in the head where that is most, mean "
        f"of all scenes, {100 * min(moved):.0f}% in the scene where it is least."
    )


def report(limit: int, runs: Path, names: Sequence[str]) -> Iterator[str]:
    """Write the page."""
    yield "# Why the embedded models hallucinate"
    yield f"\nMade by `make bench` (bench/why.py) on {limit} held-out scenes, greedy decoding.\n"
    yield "## How hard the scenes are\n"
    yield "Share of annotated things by how much there is to see of them, 500 test scenes.\n"
    yield from hardness_table()
    yield "\n## Four causes\n"
    yield (
        "- **Co-occurrence**: does the company of an absent thing predict that it is claimed? "
        "Score of an absent category: the mean over the objects present of P(category | object) in "
        f"{TRAINING_SCENES} training scenes. AUROC, and how many are claimed.\n"
        "- **Yes-bias**: the share of yes in POPE's adversarial split, where half is right.\n"
        "- **Weak eyes**: the share of yes to what is there, by how plainly it shows: clear / hard "
        "/ barely visible.\n"
        "- **Drift**: the change of the image's share of attention with each 10 tokens of a "
        f"description, in points, mean of all heads, {LOOKS} scenes.\n"
    )
    yield (
        "| model | AUROC of yes to absent things | AUROC of absent things in descriptions | "
        "yes, % | seen | drift, points |"
    )
    yield "|---|---|---|---|---|---|"
    sinks: list[str] = []
    for name in names:
        model = load_model(name)
        config = RunConfig(model=ModelConfig(name=name), benchmarks=BENCHMARKS, limit=limit)
        run = evaluate(config, runs, model=model)
        yield f"| {name} | {' | '.join(causes(model, run))} |"
        var = VAR.for_model(model).params
        sinks += [
            f"\n### {name}\n",
            f"{EMBEDDED[name][0].upper()}{EMBEDDED[name][1:]}. VAR takes tokens for sinks that "
            f"exceed tau = {var.tau:.1f} in dimension "
            f"{' or '.join(map(str, var.sink_dims or ()))} (measured). {_moved(model)}\n",
            *sink_table(model, look(model, scenes(LOOKS))),
        ]
    yield "\n## Sinks\n"
    yield (
        "|x_d| / rms(x) of the first token and of the largest image token, mean over "
        f"{LOOKS} scenes; it can reach sqrt(D). A sink is massive (at least {MASSIVE:.1f} sqrt(D)) "
        f"and attended to (later rows give it at least {ATTENDED} of their attention in some head, "
        "image tokens together)."
    )
    yield from sinks


def main(
    limit: Annotated[int, typer.Option(min=1)] = 300,
    runs: Path = Path("runs"),
    model: Annotated[list[str] | None, typer.Option(help="Repeatable; all by default.")] = None,
    output: Path | None = None,
) -> None:
    """Print the report as markdown, and write it to a file."""
    text = "\n".join(report(limit, runs, model or tuple(EMBEDDED))) + "\n"
    print(text)
    if output is not None:
        output.write_text(text)


if __name__ == "__main__":
    typer.run(main)
