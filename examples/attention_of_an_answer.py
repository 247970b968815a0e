"""What a model looked at while it answered, without and with a method: numbers and a figure.

    python examples/attention_of_an_answer.py photo.jpg "Is there a dog in the image?" var

Writes attention.png. Needs matplotlib (pip install 'halluc[figures]').
"""

from __future__ import annotations

import sys
from pathlib import Path

import halluc
from halluc.attend.trace_figure import draw_words
from halluc.world import render, scene


def main(image: object, prompt: str, method: str, figure: Path) -> None:
    """Trace an answer of glyph's, print each word's share of attention to the image, and draw."""
    seen = halluc.trace(halluc.load("glyph"), image, prompt, method)
    both = [one for one in (seen.baseline, seen.method) if one is not None]
    for number, word in enumerate(seen.baseline.words):
        # Attention to each kind of key [layers, heads, kinds]; the first kind is the image.
        looked = [f"{one.method} {one.shares()[number, ..., 0].mean():.1%}" for one in both]
        print(f"{word.text}: to the image", *looked, sep="  ")
    draw_words(seen.image, both, range(len(seen.baseline.words)), figure, prompt)
    print(figure)


if __name__ == "__main__":
    given = sys.argv[1:] or [render(scene("test", 0))]
    defaults = [None, "Is there a dog in the image?", "var"]
    main(*given, *defaults[len(given) :], Path("attention.png"))
