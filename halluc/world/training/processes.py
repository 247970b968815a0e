"""The command line of training, and its worker processes."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from torch.multiprocessing.spawn import spawn

from halluc.memory import keep_freed_memory

Saver = Callable[[Any, Path], None]
TrainerClass = Callable[[str, Path, int, int, int], Any]
"""A trainer's class: called with a model's name, work folder, seed, rank and number of workers."""


def launch(trainer: TrainerClass, saver: Saver, names: Sequence[str]) -> None:
    """Read the command line, train and save.

    Args:
        trainer: Made and run once in each worker.
        saver: Given what training returns and the output folder.
        names: The models to choose from; the first one unless the command line gives another.
    """
    parser = argparse.ArgumentParser(description="Train an embedded model on drawn scenes.")
    parser.add_argument("name", nargs="?", choices=names, default=names[0])
    parser.add_argument("--output", type=Path, help="default: halluc/world/NAME")
    parser.add_argument("--work", type=Path, help="default: runs/training/NAME; holds checkpoints")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=_workers(), help="processes on a CPU")
    options = parser.parse_args()
    work = options.work or Path("runs/training") / options.name
    output = options.output or Path("halluc/world") / options.name
    work.mkdir(parents=True, exist_ok=True)
    workers = options.workers
    with tempfile.TemporaryDirectory() as meeting:
        plan = (trainer, saver, workers, meeting, options.name, work, output, options.seed)
        if workers == 1:
            _work(0, *plan)
        else:
            spawn(_work, plan, nprocs=workers)


def _workers() -> int:
    """Return the number of processes: 1 on a GPU, else 4, 2 or 1, at most one for each core."""
    if torch.cuda.is_available():
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return next(number for number in (4, 2, 1) if number <= (cores or 1))


def _work(
    rank: int,
    trainer: TrainerClass,
    saver: Saver,
    workers: int,
    meeting: str,
    name: str,
    work: Path,
    output: Path,
    seed: int,
) -> None:
    started = time.monotonic()
    keep_freed_memory()
    if workers > 1:
        torch.set_num_threads(1)
        place = f"file://{meeting}/workers"
        distributed.init_process_group("gloo", place, rank=rank, world_size=workers)
    model = trainer(name, work, seed, rank, workers).run()
    if rank == 0:
        saver(model, output)
        print(f"saved {output} after {(time.monotonic() - started) / 60:.0f} minutes", flush=True)
    if workers > 1:
        distributed.destroy_process_group()
