"""Versions, weights and machine: what a number depends on besides its configuration."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

VERSION = "0.2.0"
"""This package's version; pyproject.toml reads it here."""

SCENES = "0.1.0"
"""The version of this package in which drawn scenes and questions last changed."""


ENGINE = 1
"""The engine's version: raised by hand when a change may change answers.

Stored answers of another version are not read. `tests/test_canary.py` asks the embedded model some
questions and fails where answers change and this number does not.
"""


def library_versions() -> dict[str, str]:
    """List the versions of libraries that can change an answer."""
    packages = {name: version(name) for name in ("torch", "transformers", "tokenizers", "pillow")}
    # Where torchvision is, transformers resizes images by it; bitsandbytes rounds weights.
    return packages | {
        name: version(name) for name in ("torchvision", "bitsandbytes") if find_spec(name)
    }


def where() -> dict[str, Any]:
    """Describe the machine and the source revision, which no answer depends on."""
    return {
        "halluc": VERSION,
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "gpu": _gpu(),
        "git_hash": _git_hash(),
    }


def _gpu() -> str | None:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


@cache
def _git_hash() -> str | None:
    checkout = Path(__file__).parents[1]
    if not (checkout / ".git").exists():
        return None
    command = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
