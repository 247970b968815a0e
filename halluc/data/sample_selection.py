"""Some of a benchmark's images: the first ones, or one of two disjoint parts.

Of the two parts one is to tune on and the other to report on.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from halluc.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from halluc.types import Sample

_SPLIT = re.compile(r"(tune|test):(0\.\d+)")


def check_split(benchmark: str, split: str) -> str:
    """Return a split's name if there is such a split.

    Raises:
        UserError: If it is not "tune:SHARE" or "test:SHARE" with a share between 0 and 1.
    """
    if (match := _SPLIT.fullmatch(split)) is None or not float(match[2]):
        raise UserError(
            f"{benchmark}: unknown split {split!r}; write it as in 'tune:0.5' or 'test:0.5'"
        )
    return split


def first_images(samples: Iterable[Sample], limit: int | None) -> Iterator[Sample]:
    """Yield the samples of the first `limit` images, all samples of an image together.

    Images are in the order in which they first occur, so a limit keeps whole images: intervals
    resample them.
    """
    by_image: dict[str, list[Sample]] = {}
    for sample in samples:
        by_image.setdefault(sample.image_id, []).append(sample)
    for image_samples in list(by_image.values())[:limit]:
        yield from image_samples


def split_samples(samples: Iterable[Sample], split: str, limit: int | None) -> Iterator[Sample]:
    """Yield the samples of the first `limit` images of a split.

    An image's hash decides its side, whatever else the benchmark holds: "tune:0.3" and "test:0.3"
    have no image in common and together have them all.
    """
    side, _, share = split.partition(":")
    images: set[str] = set()
    for sample in samples:
        if (_position(sample.image_id) < float(share)) != (side == "tune"):
            continue
        images.add(sample.image_id)
        if limit is not None and len(images) > limit:
            return
        yield sample


def _position(image_id: str) -> float:
    """Return a number in [0, 1) that depends on the image alone."""
    digest = hashlib.sha256(f"halluc/split/{image_id}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
