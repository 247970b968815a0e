"""Facts about the machine: its devices, packages, and the data sets at hand."""

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
    "halluc",
    "torch",
    "torchvision",
    "transformers",
    "tokenizers",
    "huggingface_hub",
    "numpy",
    "pillow",
    "accelerate",
    "bitsandbytes",
    "flash-attn",
    "datasets",
    "pycocotools",
    "nltk",
)
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def packages() -> dict[str, str | None]:
    """List versions of the packages halluc uses; None for one that is not installed."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    return versions


def devices() -> list[dict[str, Any]]:
    """List the devices that models can run on; memory in bytes."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    listed: list[dict[str, Any]] = [
        {"name": "cpu", "what": f"{os.cpu_count()} cores, {platform.machine()}", "memory": memory}
    ]
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        what = torch.cuda.get_device_name(index)
        listed.append({"name": f"cuda:{index}", "what": what, "memory": total, "free": free})
    return listed


def data() -> dict[str, Any]:
    """Return caches, whether the network may be used, and the state of each benchmark's data."""
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
    """List data sets in the hub's cache, with their size in bytes."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repos = scan_cache_dir().repos
    except CacheNotFound:
        return {}
    return {repo.repo_id: repo.size_on_disk for repo in repos if repo.repo_type == "dataset"}
