"""The embedded world: drawn scenes in COCO's format, a small LLaVA and a matcher trained on them.

Importing it loads no torch; `halluc.world.training.train_model`, `.model`, `.tokenizer`, `.batches` and `.losses`
do, and are needed only to train.
"""

from pathlib import Path

from halluc.world.catalog import CATEGORIES, CATEGORY, COLOURS, NAMES, Category
from halluc.world.coco_annotations import coco
from halluc.world.scenes import Scene, Thing, scene

GLYPH = Path(__file__).parent / "glyph"
"""The folder of the shipped model, for AutoProcessor and AutoModelForImageTextToText."""
MATCHER = Path(__file__).parent / "matcher"
"""The folder of the shipped image-text matcher, for `halluc.models.image_text_matcher`."""

__all__ = [
    "CATEGORIES",
    "CATEGORY",
    "COLOURS",
    "GLYPH",
    "MATCHER",
    "NAMES",
    "Category",
    "Scene",
    "Thing",
    "coco",
    "scene",
]
