"""A method of your own on images of your own, next to VAR and the baseline.

    python examples/own_method_on_own_images.py photos

`photos` is a folder of images with a table of yes/no questions (docs/own-data.md). Without one,
drawn scenes stand in. Runs are kept in `runs`: `halluc report runs` shows every answer.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import halluc
from halluc.world import render, scene


@halluc.method("brighter")
class Brighter(halluc.Method):
    """Adds to the attention logits of the image, in the upper half of the layers."""

    card = halluc.MethodCard("Brighter", "you", 2026, "here", "-")
    noop = {"bias": 0.0}

    class Params(halluc.MethodParams):
        """Its one parameter."""

        bias: float = 1.0

    def layers(self, n_layers: int) -> range:
        """Act in the upper half."""
        return range(n_layers // 2, n_layers)

    def attention_bias(self, at: halluc.At):
        """Return what is added, [B, 1, 1, K]."""
        return self.params.bias * at.image_columns[:, None, None, :].float()


def draw(folder: Path) -> Path:
    """Write six drawn scenes with a question each about something there and something absent."""
    folder.mkdir(exist_ok=True)
    with (folder / "questions.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "question", "answer"])
        for one in (scene("test", index) for index in range(6)):
            render(one).save(folder / one.file_name)
            absent = next(name for name in ("dog", "car") if name not in one.categories)
            for name, answer in ((one.categories[0], "yes"), (absent, "no")):
                table.writerow([one.file_name, f"Is there a {name} in the image?", answer])
    return folder


def main(folder: Path) -> halluc.Results:
    """Evaluate, print the board, and print the questions on which the answers differ."""
    run = halluc.evaluate("glyph", [Brighter, {"var": {"keep": 0.4}}], f"yes_no:{folder}")
    print(run)
    for sample in run.samples():
        if len(set(sample.answers.values())) > 1:
            print(sample.image_id, sample.prompt, sample.target, sample.answers, sep=" | ")
    return run


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else draw(Path("photos")))
