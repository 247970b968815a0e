"""The process's memory: its peak, and keeping what is freed for later use."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from functools import cache
from pathlib import Path
from typing import Any

_CLEAR_PEAK = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # glibc's malloc.h


def keep_freed_memory() -> None:
    """Let glibc keep freed memory for later use, for as long as this process lives.

    By default each large tensor on a CPU is mapped when it is made and unmapped when it is freed;
    a long batch then spends about a quarter of its time on page faults (`python -m bench.speed
    memory`). This is a setting of the process, so programs call it and libraries do not. Without
    glibc nothing happens.
    """
    if mallopt := getattr(_libc(), "mallopt", None):
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


class MemoryMeter:
    """The memory that is taken from now on, above what the process holds already.

    What was loaded before, by this run or by an earlier one in the same process, does not count.
    """

    def __init__(self) -> None:
        self._before = reset_peak_memory()

    def peak(self) -> int:
        """Return the most that was held at once, in bytes above the level at the start."""
        return peak_memory(above=self._before)


def reset_peak_memory() -> int:
    """Release free memory and reset its peak, where the system can (CUDA, Linux).

    Returns:
        The level from which the peak now rises, in bytes.
    """
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return peak_memory()
    if trim := getattr(_libc(), "malloc_trim", None):
        trim(0)
    if os.access(_CLEAR_PEAK, os.W_OK):
        _CLEAR_PEAK.write_text("5")
    return peak_memory()


def peak_memory(above: int = 0) -> int:
    """Return the peak since `reset_peak_memory` in bytes: of a GPU if there is one, or resident.

    Args:
        above: A level that does not count, as `reset_peak_memory` returns it.
    """
    return max(0, _peak() - above)


def _peak() -> int:
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    if _STATUS.is_file():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@cache
def _libc() -> Any:
    try:
        return ctypes.CDLL(None)
    except (OSError, TypeError):
        return None
