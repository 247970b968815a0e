"""Switch the attention of one part of a model, for the length of a `with`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

if TYPE_CHECKING:
    from halluc.models import VisionLanguageModel


class SeamError(RuntimeError):
    """Error of a seam that a method declares and the engine never called."""


def kernel_of(implementation: str, module: Any) -> Any:
    """Return the attention function of that name; "eager" is each modelling file's own."""
    if implementation == "eager":
        return sys.modules[type(module).__module__].eager_attention_forward
    return ALL_ATTENTION_FUNCTIONS[implementation]


@contextmanager
def switched(model: VisionLanguageModel, part: str, function: Any) -> Iterator[None]:
    """Let the model's "text" or "vision" part attend through `function`, masks as before.

    Raises:
        SeamError: If transformers does not switch that part's attention.
    """
    key, before = model.attention_key(part), model.attention_of(part)
    name = f"halluc_{part}_{id(function):x}"
    ALL_ATTENTION_FUNCTIONS[name] = function
    # Masks are looked up in the class-wide mapping alone; a name absent there gets no mask at all.
    AttentionMaskInterface.register(name, ALL_MASK_ATTENTION_FUNCTIONS[before])
    try:
        model.model.set_attn_implementation({key: name})
        if model.attention_of(part) != name:
            raise SeamError(f"{model.name}: its {part} attention cannot be switched")
        yield
    finally:
        model.model.set_attn_implementation({key: before})
        del ALL_ATTENTION_FUNCTIONS[name]
        del AttentionMaskInterface._global_mapping[name]
