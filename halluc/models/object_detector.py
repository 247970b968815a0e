"""Object detector: where in an image the things are that words name.

Any zero-shot detector of transformers' OWL-ViT, OWLv2 and Grounding DINO classes serves; the one
for drawn scenes, an OWLv2, ships with the package.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForZeroShotObjectDetection, AutoProcessor

from halluc.errors import UserError
from halluc.models.fingerprint import folder_hash
from halluc.models.load_errors import in_one_line
from halluc.world import DETECTOR

if TYPE_CHECKING:
    from PIL.Image import Image

EMBEDDED = "glyph"
KINDS = ("owlvit", "owlv2", "grounding-dino")
"""Model types, as configurations name them."""
_SAME = 0.6
"""Boxes that overlap more than this are around one thing."""


class Box(NamedTuple):
    """A box in pixels of the image, and how sure the detector is of it, 0 to 1."""

    left: float
    top: float
    right: float
    bottom: float
    score: float

    @property
    def area(self) -> float:
        """Its area in pixels."""
        return (self.right - self.left) * (self.bottom - self.top)

    def overlap(self, other: Box) -> float:
        """Return intersection over union."""
        wide = min(self.right, other.right) - max(self.left, other.left)
        high = min(self.bottom, other.bottom) - max(self.top, other.top)
        both = max(0.0, wide) * max(0.0, high)
        return both / (self.area + other.area - both) if both else 0.0


def boxes_in_pixels(found: Tensor, scores: Tensor, size: tuple[int, int], side: Any) -> list[Box]:
    """Turn what detectors give into boxes, the surest first.

    Args:
        found: Middle and size of each box, as shares of `side` [N, 4].
        scores: Chances [N].
        size: The image's width and height; boxes end at its borders.
        side: What the shares are of: width and height in pixels.
    """
    scale = torch.tensor(side, dtype=torch.float64)
    middle, half = found.double().cpu().split(2, -1)
    middle, half = middle * scale, half * scale / 2
    most = torch.tensor(size, dtype=torch.float64)
    low, high = ((middle + sign * half).clamp(min=0).minimum(most) for sign in (-1, 1))
    rows = torch.cat([low, high, scores.double().cpu()[:, None]], 1)
    return sorted((Box(*row) for row in rows.tolist()), key=lambda box: -box.score)


def one_each(boxes: list[Box]) -> list[Box]:
    """Leave out boxes around a thing that a surer box is around (non-maximum suppression)."""
    kept: list[Box] = []
    for box in boxes:
        if all(box.overlap(other) <= _SAME for other in kept):
            kept.append(box)
    return kept


@dataclass(frozen=True)
class DetectorSource:
    """The origin of a detector, known before its weights are loaded.

    Attributes:
        path: What `from_pretrained` takes.
        revision: The commit of a hub detector if one was asked for, the hash of a local one.
        kind: Its model type.
    """

    path: str
    revision: str | None
    kind: str


def find_detector(name: str, revision: str | None = None) -> DetectorSource:
    """Look a detector up by its configuration alone.

    Args:
        name: "glyph" for the embedded one, a local folder or a hub id.
        revision: Commit, tag or branch of a hub detector.

    Raises:
        UserError: If it cannot be found or is of no class that serves.
    """
    path = str(DETECTOR if name == EMBEDDED else Path(name).expanduser())
    local = Path(path).is_dir()
    try:
        config = AutoConfig.from_pretrained(path, revision=None if local else revision)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"detector {name!r} cannot be loaded: {reason}; give {EMBEDDED!r}, "
            "a folder, or a hub id like 'IDEA-Research/grounding-dino-tiny'"
        ) from error
    if config.model_type not in KINDS:
        raise UserError(
            f"detector {name!r} is a {config.model_type} model; zero-shot detectors that serve: "
            f"{', '.join(KINDS)}"
        )
    version = folder_hash(Path(path)) if local else revision
    return DetectorSource(path, version, config.model_type)


class Detector:
    """A loaded detector.

    Args:
        source: The detector's folder or hub id.
        device: The device it runs on.

    Raises:
        UserError: If its weights or processor are missing or damaged.
    """

    def __init__(self, source: DetectorSource, device: torch.device | str) -> None:
        hub = {} if Path(source.path).is_dir() else {"revision": source.revision}
        self.kind = source.kind
        with in_one_line(f"detector {source.path!r}"):
            self.processor = AutoProcessor.from_pretrained(source.path, **hub)
            load: Any = AutoModelForZeroShotObjectDetection.from_pretrained
            self.model = load(source.path, dtype=torch.float32, weights_only=True, **hub)
            self.model.to(device).eval().requires_grad_(False)

    def detect(self, image: Image, words: str, threshold: float) -> list[Box]:
        """Find what words name, the surest first, each thing once.

        Args:
            words: A noun phrase, such as "dining table".
            threshold: The least score of a box.
        """
        image = image.convert("RGB")
        dino = self.kind == "grounding-dino"
        text: Any = f"{words.lower()}." if dino else [[words]]
        inputs = self.processor(images=image, text=text, return_tensors="pt")
        with torch.no_grad():
            found = self.model(**inputs.to(self.model.device))
        scores = found.logits[0].float().amax(-1).sigmoid()
        # OWLv2 pads images to squares, on the right and below.
        side = (max(image.size),) * 2 if self.kind == "owlv2" else image.size
        boxes = boxes_in_pixels(found.pred_boxes[0], scores, image.size, side)
        return one_each([box for box in boxes if box.score > threshold and box.area > 0])
