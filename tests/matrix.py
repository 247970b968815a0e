"""Every method on a tiny model of every family: it works, or the reason it cannot.

    python -m tests.matrix --output docs/families.md

writes what it finds between the marks in that file; a test holds the file to it.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from datetime import date
from functools import cache
from pathlib import Path

import torch
import transformers

from halluc.doctor.probes import Identity
from halluc.errors import UserError
from halluc.interventions import REGISTRY, Method
from halluc.models.families import refuse_unserved
from tests.kit import families
from tests.kit.asking import logits_after, questions_about_shapes, written
from tests.kit.families import FAMILIES, REFUSED, picture

START, END = "<!-- families:start -->", "<!-- families:end -->"
WORKS = "✓"
METHODS = [name for name in REGISTRY.names() if name != "baseline"]

build = cache(families.build)


def verdict(name: str, family: str) -> str:
    """What becomes of a method on a family: a tick, or a sentence that says why it is refused.

    Raises:
        AssertionError: If it answers two prompts together otherwise than alone.
    """
    model, cls = build(family), REGISTRY.get(name)
    try:
        method = cls.for_model(model)
    except UserError as refusal:
        return reason(str(refusal), name, model.name)
    batch = written(model, method, questions_about_shapes(model, 0, 1), length=3)
    alone = [
        written(model, method, questions_about_shapes(model, row), length=3)[0] for row in range(2)
    ]
    assert batch == alone, f"{name} on {family}: {batch} in a batch, {alone} alone"
    return WORKS


def reason(refusal: str, name: str, model: str) -> str:
    """Turn a refusal into a sentence about "the method" and "the model", without advice.

    What follows a semicolon is part of the reason where it is about the model; else it is advice.
    """
    text = refusal.replace(repr(model), "the model").removeprefix(f"method {name!r}: ")
    text = text.replace(f"method {name!r}", "the method", 1)
    first, _, second = text.partition("; ")
    kept = f"{first}; {second}" if "the model" in second else first
    kept = re.sub(r" \(\w*\)", "", kept)
    kept = re.sub(r"reached in (?=\d)", "reached in layers ", kept)
    kept = re.sub(r"(?:some of the )?layers (\d+)(?: to \1)?(?![,\d]| to)", r"layer \1", kept)
    return f"{kept[0].upper()}{kept[1:]}."


def parity(family: str) -> float:
    """Largest difference between stock logits and those of a method that changes nothing."""
    model = build(family)
    inputs = questions_about_shapes(model, 0, 1).inputs
    with torch.inference_mode():
        stock = model.model(**inputs).logits[:, -1]
    return float((logits_after(model, Identity(Method.Params()), inputs) - stock).abs().max())


def matrix() -> Iterator[str]:
    """The table of methods and families, and below it the reasons by number."""
    reasons: list[str] = []

    def cell(found: str) -> str:
        if found == WORKS:
            return found
        if found not in reasons:
            reasons.append(found)
        return str(reasons.index(found) + 1)

    yield from _head("family", *METHODS)
    for family in FAMILIES:
        yield _row(family, *(cell(verdict(name, family)) for name in METHODS))
    yield ""
    for number, found in enumerate(reasons, 1):
        yield f"{number}. {found}"


def registry() -> Iterator[str]:
    """What was verified of each family, with what, and when."""
    yield from _head(
        "family", "tier", "an image token is", "grid", "layers in reach", "note",
        "transformers", "parity", "date",
    )  # fmt: skip
    token = {"patch": "a patch", "merged": "several patches", "query": "a learned query"}
    for family in FAMILIES:
        model = build(family)
        known, grids = model.family, [model.grid(picture(0, width, 32)) for width in (32, 48)]
        grid = "yes" if all(grids) else "of one tile" if any(grids) else "no"
        reached = len(model.self_attention | model.cross_attention)
        yield _row(
            family, known.tier, token.get(known.token, "none"),
            grid, f"{reached} of {model.n_layers}", known.note or "-",
            transformers.__version__, f"{parity(family):.0e}", date.today().isoformat(),
        )  # fmt: skip


def refused() -> Iterator[str]:
    """Models that cannot be served, and why."""
    yield from _head("model", "reason")
    for name, config in REFUSED.items():
        try:
            refuse_unserved(config, name)
        except UserError as refusal:
            yield _row(name, str(refusal).partition(";")[0].removeprefix(f"model {name!r} "))


def _head(*names: str) -> Iterator[str]:
    yield _row(*names)
    yield _row(*["---"] * len(names))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def document() -> str:
    """Everything between the marks."""
    parts = (
        ("Methods", matrix()), ("Verified", registry()), ("Refused", refused()),
    )  # fmt: skip
    return "\n\n".join(f"## {title}\n\n" + "\n".join(lines) for title, lines in parts)


def main() -> None:
    """Write the tables into a markdown file, between its marks."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--output", type=Path, required=True)
    output: Path = parser.parse_args().output
    before, _, rest = output.read_text().partition(START)
    _, _, after = rest.partition(END)
    output.write_text(f"{before}{START}\n{document()}\n{END}{after}")


if __name__ == "__main__":
    main()
