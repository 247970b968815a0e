"""Samples that cannot be measured on: one line each, before anything is drawn or loaded."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from halluc.calibration.calibration_samples import MOST, from_folder
from halluc.calibration.demonstrations import drawn_demonstrations
from halluc.calibration.measuring import run_calibration
from halluc.config import ModelConfig
from halluc.errors import UserError
from halluc.interventions.compose import find
from halluc.types import Sample

TOO_MANY = rf"too many to calibrate on; give {MOST} at most$"


def measure(folder: Path, model: str, n: int, benchmark: str | None = None) -> object:
    cls = find("var")
    wanted = ModelConfig(name=model)
    return run_calibration(cls, cls.parameters({}), wanted, None, benchmark, n, True, folder)


@pytest.mark.parametrize("n", [MOST + 1, 10**20, 10**400], ids=["one more", "1e20", "1e400"])
@pytest.mark.parametrize("benchmark", [None, "glyph_pope"])
def test_a_giant_number_of_samples(n: int, benchmark: str | None, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"^--samples: {TOO_MANY}"):
        measure(tmp_path, "nobody/nothing", n, benchmark)


def test_a_giant_number_of_demonstrations() -> None:
    with pytest.raises(UserError, match=f"^demos: {TOO_MANY}"):
        drawn_demonstrations(10**20)


@pytest.mark.parametrize("opened", ["by us", "by a plug-in"])
def test_an_image_that_vanished(
    opened: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list of files was read before one of them was deleted."""
    image = tmp_path / "one.png"
    Image.new("RGB", (32, 32)).save(image)
    (sample,) = from_folder(tmp_path, 1)
    load: Callable[[], Any] = partial(Image.open, image) if "plug" in opened else sample.load_image
    image.unlink()
    gone = [Sample(sample.id, sample.image_id, sample.prompt, load)]
    monkeypatch.setattr("halluc.calibration.measuring.drawn", lambda n: gone)
    with pytest.raises(UserError, match=r"^calibration: .*one.png.*; take it out, or") as refused:
        measure(tmp_path, str(tiny), 1)
    assert "\n" not in str(refused.value)
