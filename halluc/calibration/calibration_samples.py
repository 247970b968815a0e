"""Sources of calibration samples: drawn scenes, a folder of images, a benchmark."""

from __future__ import annotations

from functools import partial
from itertools import islice
from pathlib import Path

from halluc.errors import UserError
from halluc.types import Sample

MOST = 10_000
"""The most samples that are measured on."""


def refuse_too_many(n: int, what: str) -> None:
    """Refuse a number of samples whose measuring would not come to an end.

    Args:
        what: What was asked for, as the user typed it.

    Raises:
        UserError: If it is above `MOST`.
    """
    if n > MOST:
        raise UserError(f"{what}: too many to calibrate on; give {MOST} at most")


def drawn(n: int) -> tuple[Sample, ...]:
    """Ask for existence in drawn scenes kept for calibration; half the answers are "yes"."""
    from halluc.world import NAMES, render, scene
    from halluc.world.language import exists
    from halluc.world.scenes import generator

    samples = []
    for index in range((n + 1) // 2):
        picture = scene("calibration", index)
        rng = generator("calibration", index)
        absent = [name for name in NAMES if name not in picture.categories]
        for target, names in (("yes", picture.categories), ("no", absent)):
            samples.append(
                Sample(
                    id=f"calibration/{index}/{target}",
                    image_id=picture.file_name,
                    prompt=exists(rng.choice(names)),
                    load_image=partial(render, picture),
                    target=target,
                )
            )
    return tuple(samples[:n])


def from_folder(folder: Path, n: int) -> tuple[Sample, ...]:
    """Ask for descriptions of the first images of a folder; their right answers are not known.

    Raises:
        UserError: If the folder holds no images.
    """
    from halluc.images import open_image

    files = sorted(f for f in folder.glob("*") if f.suffix.lower() in (".jpg", ".jpeg", ".png"))[:n]
    if not files:
        raise UserError(f"--images {str(folder)!r} holds no .jpg or .png; give a folder of images")

    return tuple(
        Sample(f.name, f.name, "Describe this image.", partial(open_image, f)) for f in files
    )


def from_benchmark(name: str, n: int) -> tuple[Sample, ...]:
    """Take the first samples of a benchmark; runs that ask about their images are then refused."""
    from halluc.scoring.base import REGISTRY

    return tuple(islice(REGISTRY.get(name)().samples(), n))
