"""A sweep from Python: tuned on some images, reported on others, and drawn.

    python examples/sweep_to_figure.py 40

The number is that of images in each of the two parts. `halluc sweep` does the same from the command
line. Needs matplotlib (pip install 'halluc[figures]').
"""

from __future__ import annotations

import sys
from pathlib import Path

from halluc.sweep.running import Sweep, run_sweep
from halluc.sweep.sweep_config import SweepConfig
from halluc.sweep.sweep_figures import draw_sweep
from halluc.sweep.sweep_files import notes, write_sweep


def main(limit: int) -> Sweep:
    """Try VHR at three gains; print what holds of the best one, and the files that were written."""
    config = SweepConfig(
        model="glyph",
        method="vhr",
        sweep={"gain": [0.5, 1.5, 2.0]},
        benchmarks=("glyph_pope",),
        limit=limit,
        objective="glyph_pope.adversarial/accuracy",
    )
    sweep = run_sweep(config, Path("runs"))
    print(*notes(sweep), sep="\n")
    print(*write_sweep(sweep), *draw_sweep(sweep, sweep.folder), sep="\n")
    return sweep


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 10)
