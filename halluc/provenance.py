"""What a number depends on beside its configuration: versions, sources, weights, machine."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from collections.abc import Iterable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from halluc.config import content_hash


def versions(weights: str, image_processing: str) -> dict[str, str]:
    """Versions that can change an answer.

    Args:
        weights: The model's fingerprint.
        image_processing: What its processor does to images.
    """
    packages = {name: version(name) for name in ("torch", "transformers", "tokenizers", "pillow")}
    # Where torchvision is, transformers resizes images by it; bitsandbytes rounds weights.
    packages |= {name: version(name) for name in ("torchvision", "bitsandbytes") if find_spec(name)}
    return {
        "halluc": _own_version(),
        "source": _source_hash(),
        "weights": weights,
        "image_processing": image_processing,
        **packages,
    }


def where() -> dict[str, Any]:
    """The machine and the source revision: recorded, but no part of a run's identity."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "gpu": _gpu(),
        "git_hash": _git_hash(),
    }


def fingerprint(folder: Path) -> str:
    """Hash of a model folder's weights and configuration."""
    files = sorted((*folder.glob("*.safetensors"), *folder.glob("*.json"), *folder.glob("*.jinja")))
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:10]


def _own_version() -> str:
    import halluc

    return halluc.__version__


def _source_hash() -> str:
    """Hash of the package's own code: a changed method is never mistaken for a stored one."""
    import halluc.benchmarks
    import halluc.methods

    folders: Iterable[str | None] = (
        halluc.__file__,
        halluc.methods.__file__,
        halluc.benchmarks.__file__,
    )
    sources = {
        f"{root.name}/{file.relative_to(root)}": file.read_text()
        for root in (Path(str(folder)).parent for folder in folders)
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
