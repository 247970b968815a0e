"""The machine, the packages, and which data sets are at hand."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from halluc.data.pinned_files import cache_folder, offline
from halluc.scoring.base import REGISTRY

_PACKAGES = (
    "halluc", "torch", "torchvision", "transformers", "tokenizers", "huggingface_hub", "numpy",
    "pillow", "accelerate", "bitsandbytes", "flash-attn", "datasets", "pycocotools", "nltk",
)  # fmt: skip
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def packages() -> dict[str, str | None]:
    """Versions of what halluc uses; None for what is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def devices() -> list[dict[str, Any]]:
    """What models can run on; memory in bytes."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    found: list[dict[str, Any]] = [
        {"name": "cpu", "what": f"{os.cpu_count()} cores, {platform.machine()}", "memory": pages}
    ]
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        what = torch.cuda.get_device_name(index)
        found.append({"name": f"cuda:{index}", "what": what, "memory": total, "free": free})
    return found


def data() -> dict[str, Any]:
    """Caches, whether the network may be used, and where each benchmark's data comes from."""
    from huggingface_hub import constants

    cached = _cached()
    return {
        "offline": offline(),
        "hub_cache": constants.HF_HUB_CACHE,
        "halluc_cache": str(cache_folder()),
        "benchmarks": {
            name: _source(REGISTRY.get(name).card.dataset, cached) for name in REGISTRY.names()
        },
    }


def _source(dataset: str, cached: dict[str, int]) -> dict[str, Any]:
    if dataset == "halluc.world":
        return {"dataset": dataset, "state": "drawn"}
    if dataset in cached:
        return {"dataset": dataset, "state": "cached", "bytes": cached[dataset]}
    on_hub = _HUB_ID.fullmatch(dataset) is not None
    return {"dataset": dataset, "state": "not cached" if on_hub else "files of your own"}


def _cached() -> dict[str, int]:
    """Data sets in the hub's cache, and their size in bytes."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repos = scan_cache_dir().repos
    except CacheNotFound:
        return {}
    return {repo.repo_id: repo.size_on_disk for repo in repos if repo.repo_type == "dataset"}
