from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny models; more threads only fight over cores

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data and golden outputs, which is not part of the repository."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("HALLUC_SHARED", beside))
    if not folder.is_dir():
        pytest.skip(f"needs real data: no folder {folder} (set HALLUC_SHARED)")
    return folder
