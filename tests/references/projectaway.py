"""ProjectAway (arXiv 2410.02762; nickjiang2378/vl-interp 5cd5a3c)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor

from tests.references.plain_loop import (
    Inputs,
    decoder,
    eager,
    forward,
    greedy,
    image_positions,
    layers,
    next_logits,
)


def cleared(state: Tensor, text: Tensor, weight: float) -> Tensor:
    """One image token without what it has of a text, where it has some."""
    share = float(torch.dot(state, text) / torch.dot(text, text))
    return state - weight * share * text if share > 0 else state


@contextmanager
def entering(layer: Any, edit: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Edit the hidden states that a layer is given."""

    def hook(_: Any, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if args:
            return (edit(args[0]), *args[1:]), named
        return args, named | {"hidden_states": edit(named["hidden_states"])}

    handle = layer.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def chances(logits: Tensor, variant: str) -> Tensor:
    """Over the vocabulary (paper), or over its 50 best (code), others 0."""
    if variant == "paper":
        return logits.softmax(-1)
    best = logits.topk(min(50, logits.shape[-1]))
    return torch.zeros_like(logits).scatter(-1, best.indices, best.values.softmax(-1))


def projectaway(
    model: Any,
    inputs: Inputs,
    *,
    tokenizer: Any,
    objects: Sequence[str],
    n_tokens: int = 12,
    draft_tokens: int = 128,
    threshold: float = 0.1,
    weight: float = 1.5,
    text_layer: int | None = None,
    image_layer: int | None = None,
    variant: Literal["paper", "official_code"] = "paper",
    found: dict[str, float] | None = None,
) -> tuple[list[int], Tensor]:
    """Greedy tokens and logits of the second answer.

    Args:
        model: A transformers model for image and text.
        inputs: One encoded prompt with its image.
        tokenizer: Of whole words.
        objects: Words that may be named.
        n_tokens: Tokens at most.
        draft_tokens: Of the first answer.
        threshold: Objects of less confidence are removed.
        weight: alpha.
        text_layer, image_layer: Hidden states, 0 the embeddings; 1 and 3 of 32, at least 1.
        variant: They differ in what has a chance.
        found: Filled with the confidence of each object that the first answer names.
    """
    depth = len(layers(model))
    of = max(1, depth // 32) if text_layer is None else text_layer
    at = max(1, 3 * depth // 32) if image_layer is None else image_layer
    image = image_positions(model, inputs)

    def plain(tokens: list[int]) -> Tensor:
        return next_logits(model, inputs, tokens)

    with eager(model), torch.no_grad():
        first, _ = greedy(model, plain, draft_tokens)
        said = tokenizer.decode(first, skip_special_tokens=True).lower().split()
        named = [word for word in dict.fromkeys(said) if word in objects]
        # c_o = max over layers l and image tokens m of softmax(W_U h_l(m))_o; transformers'
        # hidden states, of which the last alone has passed the final norm
        states = forward(model, inputs, [], output_hidden_states=True).hidden_states
        seen = torch.stack([chances(model.lm_head(s[0, image]).float(), variant) for s in states])
        sure = {
            word: float(seen[..., tokenizer.convert_tokens_to_ids(word)].max()) for word in named
        }
        if found is not None:
            found.update(sure)
        texts = []
        for word in (word for word in named if sure[word] < threshold):
            ids = torch.tensor([tokenizer(word).input_ids])
            output = decoder(model)(input_ids=ids, output_hidden_states=True, use_cache=False)
            texts.append(output.hidden_states[of][0, -1])

        def edit(hidden: Tensor) -> Tensor:
            hidden = hidden.clone()
            for place in image.tolist():
                for text in texts:
                    hidden[0, place] = cleared(hidden[0, place], text, weight)
            return hidden

        with entering(layers(model)[at], edit) if texts else nullcontext():
            return greedy(model, plain, n_tokens)
