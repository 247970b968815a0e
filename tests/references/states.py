"""Hidden states that go through a stack of layers, for references that fit directions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tests.references import plain_loop
from tests.references.plain_loop import Inputs


def tower_layers(model: Any) -> nn.ModuleList:
    """The vision tower's layers; each has `.mlp`."""
    tower = getattr(model.model, "vision_tower", None) or model.model.visual
    return next(part for part in tower.modules() if isinstance(part, nn.ModuleList))


@torch.no_grad()
def through(layers: nn.ModuleList, run: Callable[[], Any]) -> Tensor:
    """What goes into the first layer and comes out of each, [L + 1, T, D], while `run` runs."""
    kept: list[Tensor] = []

    def before(_: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        kept.append(args[0] if args else named["hidden_states"])

    def after(_: nn.Module, args: Any, output: Any) -> None:
        kept.append(output[0] if isinstance(output, tuple) else output)

    handles = [layers[0].register_forward_pre_hook(before, with_kwargs=True)]
    handles += [layer.register_forward_hook(after) for layer in layers]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return torch.stack([state.flatten(0, -2) for state in kept]).float()


def decoder_states(model: Any, inputs: Inputs, *, last_normed: bool) -> Tensor:
    """The language model's states [L + 1, T, D]: the embeddings, then each layer's output.

    transformers' own `hidden_states` hold the last layer's output after the final norm.
    """
    with plain_loop.eager(model), torch.no_grad():
        states = through(plain_loop.layers(model), lambda: plain_loop.forward(model, inputs, []))
        if last_normed:
            states[-1] = plain_loop.decoder(model).norm(states[-1])
    return states


def tower_states(model: Any, inputs: Inputs) -> Tensor:
    """The vision tower's states [Lv + 1, T, D], its tokens in the tower's own order."""
    with plain_loop.eager(model):
        return through(tower_layers(model), lambda: plain_loop.image_features(model, inputs))
