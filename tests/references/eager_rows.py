"""Edit attention by hand: the softmax that eager attention of the language model calls is wrapped.

For references that run the whole sequence again for every token; `eager` has to be on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from tests.references.plain_loop import Inputs, image_positions, layers

Edit = Callable[[int, Tensor], None]
"""Writes into what it is given of a layer: rows of attention [H, Q, K], of all tokens."""


@contextmanager
def attention_edited(
    model: Any, before: Edit | None = None, after: Edit | None = None
) -> Iterator[None]:
    """Edit attention logits before the softmax, and attention weights after it."""
    softmax, inside = torch.nn.functional.softmax, [-1]

    def edited(values: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if inside[0] < 0:
            return softmax(values, *args, **kwargs)
        values = values.clone()
        if before is not None:
            before(inside[0], values[0])
        weights = softmax(values, *args, **kwargs)
        if after is not None:
            after(inside[0], weights[0])
        return weights

    def entered(number: int) -> Callable[..., None]:
        def note(*_: Any) -> None:
            inside[0] = number

        return note

    with ExitStack() as stack:
        for number, layer in enumerate(layers(model)):
            hooks = (
                layer.self_attn.register_forward_pre_hook(entered(number)),
                layer.self_attn.register_forward_hook(entered(-1)),
            )
            for hook in hooks:
                stack.callback(hook.remove)
        stack.enter_context(patch("torch.nn.functional.softmax", edited))
        yield


def image_span(model: Any, inputs: Inputs) -> slice:
    """The image's place in the prompt, whose tokens stand next to each other."""
    places = image_positions(model, inputs).tolist()
    assert places == list(range(places[0], places[-1] + 1))
    return slice(places[0], places[-1] + 1)
