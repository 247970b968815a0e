"""Object detector: where in an image the things are that words name.

Any zero-shot detector of transformers' OWL-ViT, OWLv2 and Grounding DINO classes serves; the one
for drawn scenes, an OWLv2, ships with the package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from transformers import AutoModelForZeroShotObjectDetection

from halluc.models.auxiliary import AuxiliaryModel, find_auxiliary
from halluc.world import DETECTOR

if TYPE_CHECKING:
    from PIL.Image import Image

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


def find_detector(name: str, revision: str | None = None) -> AuxiliaryModel:
    """Look a detector up: "glyph", a folder or a hub id.

    Raises:
        UserError: If it cannot be found or is of no class that serves.
    """
    example = "IDEA-Research/grounding-dino-tiny"
    return find_auxiliary("detector", name, revision, DETECTOR, KINDS, example)


class Detector:
    """A loaded detector.

    Args:
        source: Which one.
        device: The device it runs on.

    Raises:
        UserError: If its weights or processor are missing or damaged.
    """

    def __init__(self, source: AuxiliaryModel, device: torch.device | str) -> None:
        self.kind = source.config.model_type
        self.processor, self.model = source.load(AutoModelForZeroShotObjectDetection, device)

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
