"""README's picture: held-out scenes, and the embedded model's descriptions of them.

    python -m bench.picture [--output docs/scenes.png]

Objects that are there are green, hallucinated ones red.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image, ImageDraw, ImageFont

from bench.why import BENCHMARKS
from halluc.config import ModelConfig, RunConfig
from halluc.evaluation import evaluate
from halluc.scoring.base import REGISTRY
from halluc.types import Answer
from halluc.world.language import SYNONYMS

SIDE, GAP, LINE, MOST_LINES = 256, 16, 17, 20
COLOURS = {None: "#222222", True: "#1a7f37", False: "#cf222e"}
_WORDS = {form: name for name, forms in SYNONYMS.items() for form in forms}
_PATTERN = re.compile(
    r"\b(" + "|".join(sorted(map(re.escape, _WORDS), key=len, reverse=True)) + r")\b", re.IGNORECASE
)


def spans(caption: str, present: set[str]) -> Iterator[tuple[str, bool | None]]:
    """Yield the caption's words; for objects, True if they are there."""
    last = 0
    for match in _PATTERN.finditer(caption):
        yield from ((word, None) for word in caption[last : match.start()].split())
        there = _WORDS[match.group().lower()] in present
        yield from ((word, there) for word in match.group().split())
        last = match.end()
    yield from ((word, None) for word in caption[last:].split())


def panel(answer: Answer, image: Image.Image) -> Image.Image:
    """Draw a scene above the description of it."""
    sheet = Image.new("RGB", (SIDE, SIDE + MOST_LINES * LINE), "white")
    sheet.paste(image.resize((SIDE, SIDE), Image.Resampling.LANCZOS))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    x, y = 0.0, SIDE + 6.0
    for word, there in spans(answer.text, set(answer.target["categories"])):
        glue = word in {".", ","}
        width = draw.textlength(word, font)
        if x + width > SIDE and not glue:
            x, y = 0.0, y + LINE
        x -= 4 if glue else 0
        draw.text((x, y), word, COLOURS[there], font)
        x += width + 4
    return sheet.crop((0, 0, SIDE, round(y) + LINE + 4))


def main(
    output: Path = Path("docs/scenes.png"),
    runs: Path = Path("runs"),
    columns: Annotated[int, typer.Option(min=1)] = 4,
    first: int = 0,
) -> None:
    """Draw the picture from the baseline's run on glyph_chair."""
    config = RunConfig(model=ModelConfig(name="glyph"), benchmarks=BENCHMARKS, limit=300)
    scored = evaluate(config, runs).scored["glyph_chair"]
    answers = {reading.id: reading.answer for reading in scored.readings}
    samples = list(REGISTRY.get("glyph_chair")().samples(300))[first : first + columns]
    panels = [panel(answers[sample.id], sample.load_image()) for sample in samples]
    wide = columns * SIDE + (columns - 1) * GAP
    sheet = Image.new("RGB", (wide, max(one.height for one in panels)), "white")
    for column, one in enumerate(panels):
        sheet.paste(one, (column * (SIDE + GAP), 0))
    output.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(output, optimize=True)
    print(f"{output}: {sheet.width} x {sheet.height}")


if __name__ == "__main__":
    typer.run(main)
