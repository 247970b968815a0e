"""An image that vanishes midway fails its sample; one that a folder does not have stops the run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from halluc.config import DecodingConfig
from halluc.data.image_folder import ImageFolder
from halluc.decoding import answer_batches, answer_samples
from halluc.errors import UserError
from halluc.images import open_image
from halluc.methods.baseline import Baseline
from halluc.models import VisionLanguageModel
from halluc.types import Answer, Sample
from tests.kit.families import llava, picture

BASELINE = Baseline(Baseline.Params())
NAMES = ("0.png", "1.png", "2.png", "3.png")


@pytest.fixture(scope="module")
def model() -> VisionLanguageModel:
    return llava()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, name in enumerate(NAMES):
        picture(number).save(tmp_path / name)
    return tmp_path


def samples(load: Callable[[str], Any]) -> list[Sample]:
    return [Sample(name, name, "is there a dog ?", partial(load, name), None) for name in NAMES]


def answered(
    model: VisionLanguageModel, asked: list[Sample], workers: int, midway: Callable[[], object]
) -> list[Answer]:
    """Answer one by one, and let something happen after the first answer."""
    found: list[Answer] = []
    for batch in answer_batches(model, BASELINE, asked, DecodingConfig(), 2, workers=workers):
        if not found:
            midway()
        found += batch
    return sorted(found, key=lambda answer: answer.id)


@pytest.mark.parametrize("opens", [open_image, Path.read_bytes], ids=["ours", "a plug-in's"])
def test_it_fails_its_sample_alone(
    opens: Callable[[Path], Any], folder: Path, model: VisionLanguageModel
) -> None:
    def load(name: str) -> Any:
        content = opens(folder / name)
        return open_image(content, name) if isinstance(content, bytes) else content

    found = answered(model, samples(load), 0, (folder / "2.png").unlink)
    assert [answer.status for answer in found] == ["ok", "ok", "failed", "ok"]
    error = found[2].error or ""
    assert "2.png" in error and "No such file" in error and "\n" not in error


def test_an_error_over_several_lines_is_one(folder: Path, model: VisionLanguageModel) -> None:
    def load(name: str) -> Any:
        raise OSError(f"{name} is unreadable\nand more is said\nthan anybody reads")

    (only,) = answer_samples(model, BASELINE, samples(load)[:1], DecodingConfig())
    assert only.error == "OSError: 0.png is unreadable"


@pytest.mark.parametrize("workers", [0, 1])
def test_what_a_folder_does_not_have_stops_the_run(
    workers: int, folder: Path, model: VisionLanguageModel
) -> None:
    (folder / "2.png").unlink()
    images = ImageFolder(folder)
    with pytest.raises(UserError, match=r"image '2.png' is not below") as refused:
        answered(model, samples(images.open), workers, lambda: None)
    assert "\n" not in str(refused.value)
