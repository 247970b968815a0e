"""Quality of AGLA's embedded matcher: does it know what is in a scene, what do its masks leave?

    python -m bench.matcher [--scenes 300] [--output docs/matcher.md]

Questions "Is there a ... ?" about held-out scenes: half of them about things that are there, the
other half about absent ones, of which every second is drawn by how well it fits the scene.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from PIL import Image
from sklearn.metrics import roc_auc_score

from halluc.methods._masked_views import kept
from halluc.models.auxiliary import EMBEDDED
from halluc.models.image_text_matcher import Matcher, attention_map, find_matcher
from halluc.world import language, render, scene
from halluc.world.claim_sentences import ClaimSentence, claims
from halluc.world.scenes import Scene, generator, outline
from halluc.world.training.train_matcher import READ_LAYER

SPLIT = "matcher-test"
Kept = tuple[bool, float, float]
"""True if the thing is there, the share of the image left, the share of the thing left."""


def asked(one: Scene) -> list[ClaimSentence]:
    """Return the questions about a scene."""
    found = claims(one, generator("asked", one.split, one.index))
    return [
        ClaimSentence(language.exists(each.category), each.category, each.there) for each in found
    ]


def match_probability(matcher: Matcher, image: Image.Image, texts: list[str]) -> list[float]:
    """Return the matching head's probability of each text."""
    inputs = matcher.processor(
        images=[image] * len(texts), text=texts, padding=True, return_tensors="pt"
    )
    inputs["input_ids"] = matcher.to_match(inputs["input_ids"])
    with torch.inference_mode():
        scores = matcher.model(**inputs, use_itm_head=True).itm_score
    probability: list[float] = scores.softmax(-1)[:, 1].tolist()
    return probability


def left(
    matcher: Matcher, one: Scene, image: Image.Image, said: list[ClaimSentence]
) -> Iterator[Kept]:
    """Measure what AGLA's mask leaves of the whole image, and of each thing in question."""
    relevance, similarity = matcher.match([image] * len(said), [each.text for each in said])
    for each, patches, score in zip(said, relevance, similarity.tolist(), strict=True):
        stays = kept(attention_map(patches, (image.height, image.width)), score).numpy()
        things = [outline(thing) for thing in one.things if thing.category == each.category]
        of_thing = float(stays[np.any(things, axis=0)].mean()) if each.there else float("nan")
        yield each.there, float(stays.mean()), of_thing


def report(scenes: int) -> Iterator[str]:
    """Yield the page, line by line."""
    matcher = Matcher(find_matcher(EMBEDDED), READ_LAYER, "cpu")
    truth: list[bool] = []
    chances: list[float] = []
    masks: list[Kept] = []
    for one in (scene(SPLIT, index) for index in range(scenes)):
        said, image = asked(one), render(one)
        truth += [each.there for each in said]
        chances += match_probability(matcher, image, [each.text for each in said])
        masks += left(matcher, one, image, said)
    right = float(np.mean((np.array(chances) > 0.5) == np.array(truth)))
    yield "# AGLA's matcher of drawn scenes"
    yield "\nMade by `make bench` (bench/matcher.py)."
    yield f"{len(truth)} questions about {scenes} scenes it was not trained on.\n"
    yield "| matching head | |\n|---|---|"
    yield f"| accuracy | {right:.3f} |"
    yield f"| AUROC | {roc_auc_score(truth, chances):.3f} |"
    yield "\n| asked for | image left | thing left |\n|---|---|---|"
    for there, name in ((True, "what is there"), (False, "what is not")):
        whole, thing = np.mean([row[1:] for row in masks if row[0] == there], axis=0)
        yield f"| {name} | {whole:.2f} | {'-' if np.isnan(thing) else f'{thing:.2f}'} |"


def main(scenes: Annotated[int, typer.Option(min=1)] = 300, output: Path | None = None) -> None:
    """Print the page as markdown, and write it to a file."""
    text = "\n".join(report(scenes)) + "\n"
    print(text)
    if output is not None:
        output.write_text(text)


if __name__ == "__main__":
    typer.run(main)
