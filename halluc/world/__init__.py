"""The embedded world: drawn scenes in COCO's format, models trained on them.

Importing it does not load torch. `halluc.world.training` does, and is needed only to train.
"""

from pathlib import Path

from halluc.world.captions import true_captions
from halluc.world.catalog import CATEGORIES, CATEGORY, COLOURS, NAMES, Category
from halluc.world.coco_annotations import coco
from halluc.world.rendering import render
from halluc.world.scenes import Scene, Thing, scene

GLYPH = Path(__file__).parent / "glyph"
"""The folder of the shipped model, for AutoProcessor and AutoModelForImageTextToText."""
MATCHER = Path(__file__).parent / "matcher"
"""The folder of the shipped image-text matcher, for `halluc.models.image_text_matcher`."""
DETECTOR = Path(__file__).parent / "detector"
"""The folder of the shipped object detector, for `halluc.models.object_detector`."""

__all__ = [
    "CATEGORIES",
    "CATEGORY",
    "COLOURS",
    "DETECTOR",
    "GLYPH",
    "MATCHER",
    "NAMES",
    "Category",
    "Scene",
    "Thing",
    "coco",
    "render",
    "scene",
    "true_captions",
]
