"""Do attention sinks grow by themselves in a small model of text? `make sinks`.

    python -m halluc.world.training.natural_sinks --output docs/sinks.md --work runs/natural_sinks

Four groups of runs, each resumable; runs that are finished are kept:

1. natural: optimiser x head dimension x share of Bigram-Backcopy text, 8 cells;
2. planted: the cells with Bigram-Backcopy text again, with sinks in the initial weights;
3. one layer: the model that the text comes from, where sinks are known to grow;
4. long: the natural cell with most attention on the first token, for more steps.

The page is written between `<!-- text -->` and `<!-- /text -->` of the output, whatever comes out;
between `<!-- images -->` and `<!-- /images -->` what natural_glyph.py has logged by then.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from halluc.errors import UserError
from halluc.world.training.natural_glyph import STEPS
from halluc.world.training.natural_sinks_figure import draw_sinks
from halluc.world.training.natural_sinks_model import WIDTH, Cell
from halluc.world.training.natural_sinks_page import (
    IMAGES,
    TEXT,
    SinkRuns,
    Trained,
    best,
    markdown,
    of_images,
    write_part,
)
from halluc.world.training.natural_sinks_run import SinkRun, read_log

PREDICTED = (
    Cell("adamw", 48, 0.5),
    Cell("adamw", 16, 0.5),
    Cell("adamw", 48, 0.0),
    Cell("adamw", 16, 0.0),
    Cell("muon", 48, 0.5),
    Cell("muon", 16, 0.5),
    Cell("muon", 48, 0.0),
    Cell("muon", 16, 0.0),
)
"""The natural cells, most attention on the first token first, as the papers predict.

Adaptive steps of single numbers make outliers and orthogonalised ones do not (OSP); then comes the
need for a no-op (Guo et al.), then the head dimension (Sun et al., https://arxiv.org/abs/2603.05498).
"""
PLANTED = tuple(
    Cell(cell.optimiser, cell.head, cell.share, planted=True) for cell in PREDICTED if cell.share
)
ONE_LAYER = Cell("adamw", WIDTH, 1.0, layers=1)
"""One layer with one head, and Bigram-Backcopy text alone: as Guo et al. have it."""


def trained(cells: Sequence[Cell], steps: int, options: argparse.Namespace) -> list[Trained]:
    """Train each cell to its last step, or read the logs there are: of any length, or none."""
    runs = []
    for cell in cells:
        folder = options.work / f"{cell.name}-{steps}-seed{options.seed}"
        if options.write_only:
            log = read_log(folder)
        else:
            log = SinkRun(folder, cell, steps, options.seed).run()
        if log:
            runs.append(Trained(cell, steps, log))
    return runs


def ended(runs: Sequence[Trained]) -> list[Trained]:
    """Return the runs that took all their steps: cells are compared after equally many."""
    return [run for run in runs if run.last["step"] == run.steps]


def main() -> None:
    """Read the command line, train what is not trained yet, write the page and its figure."""
    parser = argparse.ArgumentParser(description="Try whether attention sinks grow in text alone.")
    parser.add_argument("--output", type=Path, default=Path("docs/sinks.md"))
    parser.add_argument("--work", type=Path, default=Path("runs/natural_sinks"))
    parser.add_argument(
        "--images", type=Path, default=Path("runs/natural_glyph"), help="Work of natural_glyph.py."
    )
    parser.add_argument("--steps", type=int, default=1500, help="Steps of each cell.")
    parser.add_argument(
        "--long-steps", type=int, default=8000, help="Of the last two runs; 0: none."
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--write-only", action="store_true", help="Train nothing; write of all runs what they have."
    )
    options = parser.parse_args()
    if options.steps < 1 or options.long_steps < 0:
        raise SystemExit("--steps takes a number from 1, --long-steps one from 0")
    # Products of this size are not worth a second thread.
    torch.set_num_threads(1)
    natural = ended(trained(PREDICTED, options.steps, options))
    if not natural:
        raise SystemExit(f"{options.work}: no cell of {options.steps} steps has ended")
    planted = ended(trained(PLANTED, options.steps, options))
    late = (ONE_LAYER, best(natural).cell) if options.long_steps else ()
    long = trained(late, options.long_steps, options)
    waiting = len(PREDICTED) - len(natural)
    results = SinkRuns(natural, planted, long, options.seed, waiting)
    figure = options.output.parent / "figures" / "sinks.png"
    try:
        write_part(TEXT, markdown(results), options.output)
        if log := read_log(options.images):
            write_part(IMAGES, of_images(log, STEPS), options.output)
    except UserError as error:
        raise SystemExit(str(error)) from None
    draw_sinks(results, figure)


if __name__ == "__main__":
    main()
