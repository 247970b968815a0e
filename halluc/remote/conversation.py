"""A sample as an endpoint is sent it: turns, the image in the first, and parameters."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

    from halluc.config import DecodingConfig
    from halluc.types import Sample


def messages(sample: Sample, image: Image) -> list[dict[str, Any]]:
    """Return the conversation with the image in its first turn, as PNG, which loses nothing."""
    file = io.BytesIO()
    image.save(file, "PNG")
    url = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    said = [words for turn in sample.history for words in turn] + [sample.prompt]
    first = [
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "text", "text": said[0]},
    ]
    roles = ("user", "assistant")
    return [
        {"role": roles[number % 2], "content": words if number else first}
        for number, words in enumerate(said)
    ]


def parameters(decoding: DecodingConfig, sample: Sample) -> dict[str, Any]:
    """Return the decoding as parameters of a request."""
    params: dict[str, Any] = {"max_tokens": decoding.max_new_tokens or sample.max_new_tokens}
    if not decoding.do_sample:
        return params | {"temperature": 0}
    return params | {
        "temperature": decoding.temperature,
        "top_p": decoding.top_p,
        "seed": decoding.seed,
    }
