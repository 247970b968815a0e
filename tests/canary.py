"""Canary answers: what the embedded model says, kept with the engine version that said it.

`python -m tests.canary` writes them again, after ENGINE in halluc/provenance.py was raised or the
embedded model was changed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from halluc.benchmarks.glyph_chair import GlyphChair
from halluc.benchmarks.glyph_pope import GlyphPope
from halluc.config import DecodingConfig
from halluc.decoding import answer_samples
from halluc.files import write_json
from halluc.interventions import REGISTRY
from halluc.models import VisionLanguageModel, load_model
from halluc.provenance import ENGINE, library_versions

FILE = Path(__file__).with_name("canary.json")
SLOW = ("opera",)
"""Methods that take minutes; they are left out."""


def asked_of(model: VisionLanguageModel) -> dict[str, Any]:
    """Ask each method a few questions and a caption; also sampled and with beams.

    Returns:
        "engine", "weights" and "versions", and by method and decoding a list of [sample, text,
        passes].
    """
    samples = [*list(GlyphPope().samples(1))[:3], *GlyphChair().samples(1)]
    decodings = {"greedy": DecodingConfig()}
    answers = {}
    for name in REGISTRY.names():
        if name in SLOW:
            continue
        kinds = dict(decodings)
        if name == "baseline":
            kinds |= {
                "sampled": DecodingConfig(do_sample=True, temperature=0.8, top_p=0.9, seed=3),
                "beams": DecodingConfig(num_beams=3),
            }
        method = REGISTRY.get(name).for_model(model, {})
        for kind, decoding in kinds.items():
            said = answer_samples(model, method, samples, decoding)
            answers[f"{name} {kind}"] = sorted([a.id, a.text, a.forward_passes] for a in said)
    return {
        "engine": ENGINE,
        "weights": model.fingerprint,
        "versions": library_versions(),
        "answers": answers,
    }


if __name__ == "__main__":
    write_json(FILE, asked_of(load_model("glyph")))
    print(FILE)
