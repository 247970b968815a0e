"""Load a model's processor without its reader of videos, which would need torchvision."""

from __future__ import annotations

from typing import Any

from transformers import AutoProcessor
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

_VIDEOS = "video_processor"


def load_processor(path: str, config: Any, **source: Any) -> Any:
    """Load the processor of a model.

    Args:
        path: A hub id or a folder.
        config: The model's configuration.
        source: The other arguments of `from_pretrained`: revision, trust_remote_code.
    """
    known = PROCESSOR_MAPPING.get(type(config), None)
    takes_videos = known is not None and _VIDEOS in known.get_attributes()
    loader: Any = without_videos(known) if takes_videos else AutoProcessor
    return loader.from_pretrained(path, **source)


def without_videos(processor: Any) -> Any:
    """Return a class of processors like this one that reads images and texts alone."""
    attributes = [name for name in processor.get_attributes() if name != _VIDEOS]
    body = {"get_attributes": classmethod(lambda cls: attributes), _VIDEOS: None}
    return type(processor.__name__, (processor,), body)
