"""A plain decoding loop for references: one question, no cache, eager attention, float32.

The whole sequence is run again for every token, so that a method's reference needs no state and
cannot share a mistake with the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

Inputs = Mapping[str, Any]
"""What a processor makes of one rendered prompt and its image."""


@contextmanager
def eager(model: Any) -> Iterator[None]:
    """Use eager attention, in the vision tower too, and set back what was there."""
    parts = {name: getattr(model.config, name) for name in model.config.sub_configs}
    before = {"": model.config._attn_implementation} | {
        name: part._attn_implementation for name, part in parts.items() if part is not None
    }
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def extended(inputs: Inputs, tokens: Sequence[int]) -> dict[str, Any]:
    """The inputs with generated tokens appended: text that is attended to, of type 0."""
    ids = inputs["input_ids"]
    new = torch.tensor([list(tokens)], dtype=ids.dtype, device=ids.device)
    longer = dict(inputs) | {"input_ids": torch.cat([ids, new], dim=1)}
    for name, fill in (("attention_mask", 1), ("mm_token_type_ids", 0), ("token_type_ids", 0)):
        if name in longer:
            tail = torch.full_like(new, fill, dtype=longer[name].dtype)
            longer[name] = torch.cat([longer[name], tail], dim=1)
    return longer


@torch.no_grad()
def forward(model: Any, inputs: Inputs, tokens: Sequence[int], **settings: Any) -> Any:
    """The model's output for prompt and tokens, without a cache.

    M-RoPE models make their positions of `input_ids`, `mm_token_type_ids` and `image_grid_thw`.
    A random model may generate the image token; it is text then, and no place for an image.
    """
    embed = model.get_input_embeddings()
    length = inputs["input_ids"].shape[1]
    at = [length + i for i, token in enumerate(tokens) if token == model.config.image_token_id]
    hidden = [0 if token == model.config.image_token_id else token for token in tokens]

    def restored(embeddings: Tensor) -> Tensor:
        embeddings = embeddings.clone()
        embeddings[0, at] = embed.weight[model.config.image_token_id]
        return embeddings

    with output_edited(embed, restored) if at else nullcontext():
        return model(**extended(inputs, hidden), use_cache=False, return_dict=True, **settings)


def next_logits(model: Any, inputs: Inputs, tokens: Sequence[int]) -> Tensor:
    """The logits [V] of the token that follows prompt and tokens."""
    logits: Tensor = forward(model, inputs, tokens).logits[0, -1].float()
    return logits


def greedy(
    model: Any, step: Callable[[list[int]], Tensor], n_tokens: int
) -> tuple[list[int], Tensor]:
    """Take the best token of `step(tokens)` up to `n_tokens` times, or until the end token.

    Returns:
        The tokens, the end token included, and the logits [T, V] they were taken from.
    """
    tokens: list[int] = []
    rows: list[Tensor] = []
    ends = ends_of(model)
    while len(tokens) < n_tokens and not (tokens and tokens[-1] in ends):
        rows.append(step(list(tokens)))
        tokens.append(int(rows[-1].argmax()))
    return tokens, torch.stack(rows)


def ends_of(model: Any) -> set[int]:
    """The tokens that end an answer."""
    ends = model.generation_config.eos_token_id
    return set() if ends is None else set(ends if isinstance(ends, list) else [ends])


def decoder(model: Any) -> Any:
    """The language model: `.layers`, `.norm`, `.embed_tokens`."""
    return model.model.language_model


def layers(model: Any) -> Any:
    """The decoder layers; each has `.self_attn` (with `.o_proj`) and `.mlp`."""
    return decoder(model).layers


def image_positions(model: Any, inputs: Inputs) -> Tensor:
    """Where the prompt's image tokens stand, [N]."""
    ids: Tensor = inputs["input_ids"][0]
    is_image: Tensor = ids == model.config.image_token_id
    return is_image.nonzero()[:, 0]


def image_features(model: Any, inputs: Inputs) -> Tensor:
    """The projected image tokens [N, D] as they are put into the prompt's embeddings."""
    names = ("pixel_values", "image_grid_thw", "image_sizes")
    with torch.no_grad():
        found = model.get_image_features(**{n: inputs[n] for n in names if n in inputs})
    parts: Any = found.pooler_output
    tokens: Tensor = parts.flatten(0, 1) if isinstance(parts, Tensor) else torch.cat(list(parts))
    return tokens


@contextmanager
def output_edited(module: nn.Module, edit: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Replace a module's output, or the first part of it, by `edit(output)`."""

    def hook(_: nn.Module, args: Any, output: Any) -> Any:
        if isinstance(output, tuple):
            return (edit(output[0]), *output[1:])
        return edit(output)

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def input_edited(module: nn.Module, edit: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Replace a module's first positional argument by `edit(argument)`."""

    def hook(_: nn.Module, args: tuple[Any, ...]) -> Any:
        return (edit(args[0]), *args[1:])

    handle = module.register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def output_kept(module: nn.Module) -> Iterator[list[Tensor]]:
    """Collect a module's outputs, one for each call."""
    kept: list[Tensor] = []

    def hook(_: nn.Module, args: Any, output: Any) -> None:
        kept.append((output[0] if isinstance(output, tuple) else output).detach())

    handle = module.register_forward_hook(hook)
    try:
        yield kept
    finally:
        handle.remove()
