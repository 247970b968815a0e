"""A hub cache on this machine, in the hub's own layout, with the network switched off."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from halluc.benchmarks import _mme as mme_benchmark
from halluc.benchmarks import (
    hallusionbench,
    mmhal_bench,
    mmstar,
    mmvp,
    naturalbench,
    openchair,
    pope,
)

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

SHA = "0123456789abcdef0123456789abcdef01234567"
PINNED = {
    "lmms-lab/POPE": pope.REVISION,
    "lmms-lab/MME": mme_benchmark.REVISION,
    "lmms-lab/HallusionBench": hallusionbench.REVISION,
    "MMVP/MMVP": mmvp.REVISION,
    "Shengcao1006/MMHal-Bench": mmhal_bench.REVISION,
    "moranyanuka/OpenCHAIR": openchair.REVISION,
    mmstar.REPO: mmstar.REVISION,
    naturalbench.REPO: naturalbench.REVISION,
}


def picture(shade: int = 0) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), (shade, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def cell(shade: int = 0) -> dict[str, Any]:
    """An image as parquet files of the hub hold it."""
    return {"bytes": picture(shade), "path": None}


class Hub:
    """Data sets of the hub at their pinned revisions, at `SHA` where none is."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from huggingface_hub import constants

        self.home = home
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home))

    def put(self, repo: str, name: str, rows: list[dict[str, Any]], sha: str | None = None) -> Path:
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self.snapshot(repo, sha) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=2)
        return path

    def snapshot(self, repo: str, sha: str | None = None) -> Path:
        sha = sha or PINNED.get(repo, SHA)
        folder = self.home / f"datasets--{repo.replace('/', '--')}"
        (folder / "refs").mkdir(parents=True, exist_ok=True)
        (folder / "refs/main").write_text(sha)
        return folder / "snapshots" / sha
