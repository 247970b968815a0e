"""Memory that is kept, and its peak."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from halluc.memory import MemoryMeter, peak_memory, reset_peak_memory

_MEGABYTES = 64

_FAULTS = """
import resource, sys, torch
from halluc.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def work():
    for _ in range(10):
        torch.ones(64 * 2**18).add(1)
for _ in range(3):
    work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", _FAULTS, how], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of glibc")
def test_freed_memory_is_not_mapped_again() -> None:
    # Now and then the heap still grows by a tensor or two, where something small lies in its way.
    assert faults("keep") < faults("default") / 3


def test_the_peak_is_counted_again() -> None:
    reset_peak_memory()
    before = peak_memory()
    large = torch.ones(_MEGABYTES * 2**18)
    assert peak_memory() >= before + 0.9 * large.nbytes
    size = large.nbytes
    del large
    reset_peak_memory()
    assert peak_memory() <= before + 0.5 * size


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere no peak can be reset")
def test_a_run_is_not_charged_for_what_was_held_before_it() -> None:
    first = MemoryMeter()
    model = torch.ones(4 * _MEGABYTES * 2**18)
    assert first.peak() >= 0.9 * model.nbytes
    second = MemoryMeter()
    assert second.peak() < 0.1 * model.nbytes
    working = torch.ones(_MEGABYTES * 2**18)
    size = working.nbytes
    del working
    assert 0.9 * size <= second.peak() < 2 * size


def test_what_is_given_back_is_no_negative_peak() -> None:
    assert peak_memory(above=2**62) == 0
