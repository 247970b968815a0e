from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny models; more threads only fight over cores

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.kit.fake_endpoint import FakeEndpoint, fake_endpoint


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data and golden outputs, which is not part of the repository."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("HALLUC_SHARED", beside))
    if not folder.is_dir():
        pytest.skip(f"needs real data: no folder {folder} (set HALLUC_SHARED)")
    return folder


@pytest.fixture
def nltk_data(shared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """NLTK 3.8.1's data, put where NLTK looks."""
    data = pytest.importorskip("nltk.data", reason="needs NLTK: pip install nltk")
    folder = shared / "data/nltk_data"
    monkeypatch.setattr(data, "path", [str(folder)])
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of fetched files and records."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("HALLUC_CACHE", str(folder))
    return folder


@pytest.fixture
def published(tmp_path: Path) -> Iterator[str]:
    """The address of `tmp_path`, as if what is in it were published."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder as save_pretrained leaves it."""
    from tests.kit.families import llava

    folder = tmp_path_factory.mktemp("models") / "tiny"
    model = llava()
    model.model.save_pretrained(folder)
    model.processor.save_pretrained(folder)
    return folder


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeEndpoint]:
    """An OpenAI-compatible endpoint on this machine, and the environment that leads to it."""
    with fake_endpoint() as served:
        monkeypatch.setenv("OPENAI_BASE_URL", served.address)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
        yield served
