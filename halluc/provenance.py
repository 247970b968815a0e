"""Versions, sources, weights and machine: what a number depends on besides its configuration."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from halluc.config import content_hash

VERSION = "0.1.0"
"""This package's version, the same as in pyproject.toml."""


def versions(weights: str, image_processing: str) -> dict[str, str]:
    """List the versions that can change an answer.

    Args:
        weights: The model's fingerprint.
        image_processing: What its processor does to images.
    """
    packages = {name: version(name) for name in ("torch", "transformers", "tokenizers", "pillow")}
    # Where torchvision is, transformers resizes images by it; bitsandbytes rounds weights.
    packages |= {name: version(name) for name in ("torchvision", "bitsandbytes") if find_spec(name)}
    return {
        "halluc": VERSION,
        "source": _source_hash(),
        "weights": weights,
        "image_processing": image_processing,
        **packages,
    }


def where() -> dict[str, Any]:
    """Describe the machine and the source revision, which are not part of a run's identity."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "gpu": _gpu(),
        "git_hash": _git_hash(),
    }


@cache
def _source_hash() -> str:
    """Hash the package's own code: a changed method is never mistaken for a stored one.

    Packages are looked up, not imported: methods and benchmarks lie above this module.
    """
    specs = [find_spec(name) for name in ("halluc", "halluc.methods", "halluc.benchmarks")]
    roots = [Path(spec.origin).parent for spec in specs if spec is not None and spec.origin]
    sources = {
        f"{root.name}/{file.relative_to(root)}": file.read_text()
        for root in roots
        for file in sorted(root.rglob("*.py"))
    }
    return content_hash(sources)


def _gpu() -> str | None:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


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
