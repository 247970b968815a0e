"""`halluc eval --processes N`: N processes on this machine, a shard and a GPU each."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import MutableMapping, Sequence

from halluc.interruption import GO_ON, Interrupted


def answer_in_processes(arguments: Sequence[str], processes: int) -> None:
    """Let several processes answer a shard each, and wait for them.

    One that fails says why; whoever evaluates afterwards asks what it has not answered.

    Args:
        arguments: Those of this command.
        processes: The number of processes.

    Raises:
        Interrupted: If a signal came; the processes have ended by then.
    """
    command = [sys.executable, "-m", "halluc.cli.entry", *_without_processes(arguments)]
    running = [
        subprocess.Popen(
            [*command, "--shard", f"{number + 1}/{processes}"],
            env=_own_part(number, processes),
            stdout=subprocess.DEVNULL,
            process_group=0,  # Ctrl-C reaches this process alone, which passes it on once
        )
        for number in range(processes)
    ]
    try:
        _wait(running)
    except Interrupted as stopped:
        _signal(running, stopped.signum)
        try:
            _wait(running)
        except Interrupted as again:
            _signal(running, again.signum)
            _wait(running)
        raise Interrupted(stopped.signum, GO_ON) from None
    for number, process in enumerate(running):
        if process.returncode:
            print(
                f"halluc: shard {number + 1}/{processes} ended with {process.returncode}; "
                "what it has not answered is asked now",
                file=sys.stderr,
            )


def take_own_gpu(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let this process see one GPU, the LOCAL_RANK-th that a launcher left visible to it.

    torchrun and accelerate start a process for each GPU and let all of them see all GPUs. CUDA
    reads this when it is first used.
    """
    local = environment.get("LOCAL_RANK", "")
    if local.isdecimal() and (devices := _visible(environment)):
        environment["CUDA_VISIBLE_DEVICES"] = devices[int(local) % len(devices)]


def _wait(running: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in running:
        process.wait()


def _signal(running: Sequence[subprocess.Popen[bytes]], signum: int) -> None:
    for process in running:
        process.send_signal(signum)


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
    if devices := _visible(os.environ):
        return {**os.environ, "CUDA_VISIBLE_DEVICES": devices[number % len(devices)]}
    cores = max(1, (os.cpu_count() or 1) // processes)
    return {"OMP_NUM_THREADS": str(cores), **os.environ}


def _visible(environment: MutableMapping[str, str]) -> list[str]:
    """List the GPUs that a process sees, as CUDA_VISIBLE_DEVICES names them."""
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [device for device in visible.split(",") if device]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]
