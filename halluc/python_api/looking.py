"""What a model looked at while it answered: `halluc.trace`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from halluc.config import BASELINE
from halluc.python_api.images_given import opened
from halluc.python_api.method_given import Given

if TYPE_CHECKING:
    from halluc.attend.tracing import Trace
    from halluc.python_api.loaded_model import LoadedModel


def trace(
    model: LoadedModel,
    image: Any,
    prompt: str = "Please describe this image in detail.",
    method: Given = BASELINE,
    *,
    answer: str | None = None,
    max_new_tokens: int = 64,
    layers: Sequence[int] | None = None,
    **parameters: Any,
) -> Trace:
    """Answer a prompt greedily, and note what each word of the answer looked at.

    Args:
        model: Of `halluc.load`.
        image, prompt, method, parameters: As for `m.ask`.
        answer: Text to trace in place of the model's own answer.
        max_new_tokens: Where answers are cut.
        layers: Those whose attention is kept; all by default.

    Returns:
        What the `baseline` saw, and the `method` on the same words: `words`, `attention`
        [T, L, H, K], and `shares()` of image, prompt, answer, first token and sinks.

    Raises:
        UserError: If attention of the model cannot be reached, or an argument is wrong.

    Examples:
        >>> import halluc
        >>> from halluc.world import render, scene
        >>> m, image = halluc.load("glyph"), render(scene("test", 0))
        >>> seen = halluc.trace(m, image, "Is there a dog in the image?", "var").method
        >>> [word.text for word in seen.words]
        ['No']
    """
    from halluc.attend.tracing import trace as traced

    acts = model.prepared(method, parameters)
    own = None if acts.name == BASELINE else acts
    return traced(model.here, opened(image), prompt, own, answer, max_new_tokens, layers)
