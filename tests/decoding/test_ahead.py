"""Worker processes prepare what the model's own process would, and leave nothing behind."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from PIL import Image

from halluc.config import DecodingConfig
from halluc.decoding import answer_batches
from halluc.decoding import prefetch as module
from halluc.decoding.batch_encoding import batch_of
from halluc.decoding.prefetch import prefetched, workers_for
from halluc.errors import UserError
from halluc.interventions import Method, MethodParams
from halluc.types import Answer, Sample
from tests.kit.families import build, llava, picture

BASELINE = Method(MethodParams())

pytestmark = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="workers are forked"
)


def samples(images: int = 4) -> list[Sample]:
    """Two questions about each image; the image says which process opened it."""

    def opened(number: int) -> Callable[[], Image.Image]:
        return lambda: picture(number)

    return [
        Sample(f"{i}-{n}", f"image-{i}", f"Is there a {name}?", opened(i), max_new_tokens=3)
        for i in range(images)
        for n, name in enumerate(("cat", "red dog"))
    ]


def answers(asked: list[Sample], workers: int) -> list[Answer]:
    batches = answer_batches(
        llava(), BASELINE, asked, DecodingConfig(), batch_size=2, workers=workers
    )
    found = [replace(answer, seconds=0.0) for batch in batches for answer in batch]
    return sorted(found, key=lambda answer: answer.id)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_same_answers(workers: int) -> None:
    assert answers(samples(), workers) == answers(samples(), 0)


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl", "mllama", "gemma3"])
def test_the_same_inputs(family: str) -> None:
    model = build(family)
    batches = [samples()[:2], samples()[2:4]]
    for asked, ready in zip(batches, prefetched(model, BASELINE, batches, 0, 2), strict=True):
        here = batch_of(model, BASELINE, asked)
        assert ready is not None
        assert ready.image_hashes == here.image_hashes
        assert ready.rendered == here.rendered
        assert ready.inputs.keys() == here.inputs.keys()
        for key, value in here.inputs.items():
            assert torch.equal(ready.inputs[key], value)


def test_images_are_opened_elsewhere() -> None:
    def opened() -> Image.Image:
        return Image.new("RGB", (32, 32), (os.getpid() % 256, os.getpid() // 256 % 256, 0))

    batches = [[replace(one, load_image=opened)] for one in samples()]
    made = prefetched(llava(), BASELINE, batches, 0, 2)
    found = [ready.image_hashes for ready in made if ready]
    here = [batch_of(llava(), BASELINE, batch).image_hashes for batch in batches]
    assert len(found) == len(batches)
    assert all(one != other for one, other in zip(found, here, strict=True))


def test_a_broken_image_fails_alone() -> None:
    def broken() -> Image.Image:
        raise OSError("cut short")

    asked = samples()
    asked[3] = replace(asked[3], load_image=broken, image_id="broken")
    found = answers(asked, 2)
    assert [answer.status for answer in found] == ["ok"] * 3 + ["failed"] + ["ok"] * 4
    assert found[3].error == "OSError: cut short"


def test_no_process_outlives_who_stops_early() -> None:
    before = set(multiprocessing.active_children())
    batches = answer_batches(
        llava(), BASELINE, samples(), DecodingConfig(), batch_size=2, workers=2
    )
    next(batches)
    assert set(multiprocessing.active_children()) - before
    batches.close()  # type: ignore[attr-defined]
    assert not set(multiprocessing.active_children()) - before


def test_the_environment_is_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    answers(samples(), 2)
    assert "TOKENIZERS_PARALLELISM" not in os.environ


def test_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    assert workers_for(llava(), None) == 0
    assert workers_for(llava(), 3) == 3
    monkeypatch.setattr(module, "get_all_start_methods", lambda: ["spawn"])
    assert workers_for(llava(), None) == 0
    with pytest.raises(UserError, match="--workers: this system cannot fork"):
        workers_for(llava(), 2)
