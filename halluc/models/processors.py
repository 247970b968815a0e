"""Load a model's processor without its reader of videos, which would need torchvision."""

from __future__ import annotations

from inspect import signature
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
    loader: Any = AutoProcessor if known is None else without_videos(known) or AutoProcessor
    return loader.from_pretrained(path, **source)


def without_videos(processor: Any) -> Any:
    """Return a class of processors like this one that reads images and texts alone.

    Returns:
        None for a class that reads no videos, and for one that cannot do without (SmolVLM's).
    """
    parameter = signature(processor.__init__).parameters.get(_VIDEOS)
    if parameter is None or parameter.default is parameter.empty:
        return None
    attributes = [name for name in processor.get_attributes() if name != _VIDEOS]
    body = {"get_attributes": classmethod(lambda cls: attributes), _VIDEOS: None}
    return type(processor.__name__, (processor,), body)
