"""`halluc eval --processes N`: N processes on this machine, a shard and a GPU each."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from halluc.interruption import Interrupted


def answer_in_processes(arguments: Sequence[str], processes: int) -> None:
    """Let several processes answer a shard each, and wait for them.

    One that fails says why; whoever evaluates afterwards asks what it has not answered.

    Args:
        arguments: Those of this command.
        processes: The number of processes.

    Raises:
        Interrupted: If a signal came; the processes have ended by then.
    """
    command = [sys.executable, "-m", "halluc.cli.main", *_without_processes(arguments)]
    running = [
        subprocess.Popen(
            [*command, "--shard", f"{number + 1}/{processes}"], env=_own_part(number, processes)
        )
        for number in range(processes)
    ]
    try:
        for process in running:
            process.wait()
    except Interrupted as stopped:
        for process in running:
            process.send_signal(stopped.signum)
        for process in running:
            process.wait()
        raise
    for number, process in enumerate(running):
        if process.returncode in (130, 143):
            raise Interrupted(process.returncode - 128)
        if process.returncode:
            print(
                f"halluc: shard {number + 1}/{processes} ended with {process.returncode}; "
                "what it has not answered is asked now",
                file=sys.stderr,
            )


def _without_processes(arguments: Sequence[str]) -> list[str]:
    kept, skip = list[str](), False
    for argument in arguments:
        if skip or argument.startswith("--processes="):
            skip = False
        elif argument == "--processes":
            skip = True
        else:
            kept.append(argument)
    return kept


def _own_part(number: int, processes: int) -> dict[str, str]:
    """Return the environment of a process: its GPU, or its share of the cores."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = visible.split(",") if visible else [str(n) for n in range(_gpus())]
    if devices:
        return {**os.environ, "CUDA_VISIBLE_DEVICES": devices[number % len(devices)]}
    cores = max(1, (os.cpu_count() or 1) // processes)
    return {"OMP_NUM_THREADS": str(cores), **os.environ}


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()
