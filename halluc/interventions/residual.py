"""Hooks on the residual stream: what enters each layer, and what feed-forward networks add."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from halluc.interventions.context import At

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions.engine_view import EngineView


def hook_residual(stack: ExitStack, engine: EngineView) -> None:
    """Serve `hidden`, `feed_forward` and `early`, until the stack is closed."""
    model, method, seams = engine.model, engine.method, engine.seams
    last = model.n_layers
    early = set(method.early_layers(last)) if "next_token_logits" in seams else set()
    for layer in sorted(early | (engine.named if "hidden" in seams else set())):
        module = model.layers[layer] if layer < last else model.final_norm
        edited = "hidden" in seams and layer in engine.named
        _before(stack, module, _Entering(engine, layer, edited, layer in early))
    if "feed_forward" in seams:
        for layer, module in model.feed_forwards.items():
            if layer in engine.named:
                hook = _feed_forward(engine, layer)
                handle = module.register_forward_hook(hook, with_kwargs=True)
                stack.callback(handle.remove)
    if "hidden" in seams and method.in_vision_tower:
        for layer, module in enumerate(model.tower.layers):
            _before(stack, module, _entering_tower(engine, layer))


def _before(stack: ExitStack, module: torch.nn.Module, hook: Any) -> None:
    stack.callback(module.register_forward_pre_hook(hook, with_kwargs=True).remove)


class _Entering:
    """What enters a layer of the language model: edited, then kept for `early`."""

    def __init__(self, engine: EngineView, layer: int, edited: bool, early: bool) -> None:
        self.engine, self.layer, self.edited, self.early = engine, layer, edited, early

    def __call__(self, _: Any, args: Any, kwargs: Any) -> Any:
        hidden: Tensor = args[0] if args else kwargs["hidden_states"]
        changed = None
        if self.edited and self.engine.phase in self.engine.method.hidden_phases:
            where = _where(self.engine, self.layer, hidden)
            changed = self.engine.call("hidden", where, hidden)
        if self.early:
            self.engine.keep_early(self.layer, hidden if changed is None else changed)
        return None if changed is None else _with_first(args, kwargs, changed)


def _entering_tower(engine: EngineView, layer: int) -> Any:
    def hook(_: Any, args: Any, kwargs: Any) -> Any:
        hidden: Tensor = args[0] if args else kwargs["hidden_states"]
        rows = torch.ones(hidden.shape[:-1], dtype=torch.bool, device=hidden.device)
        where = At(
            model=engine.model, memory=engine.memory, phase="prefill", layer=layer,
            n_layers=len(engine.model.tower.layers), n_heads=engine.model.n_heads, rows=rows,
            n_keys=hidden.shape[-2], n_tokens=hidden.shape[-2], part="vision",
        )  # fmt: skip
        changed = engine.call("hidden", where, hidden)
        return None if changed is None else _with_first(args, kwargs, changed)

    return hook


def _feed_forward(engine: EngineView, layer: int) -> Any:
    def hook(_: Any, args: Any, kwargs: Any, output: Any) -> Any:
        inputs: Tensor = args[0] if args else next(iter(kwargs.values()))
        outputs, rest = (output[0], output[1:]) if isinstance(output, tuple) else (output, None)
        flat = outputs.dim() == 2  # some networks see tokens of all rows below each other
        if flat or inputs.dim() == 2:
            raise ValueError(f"layer {layer}: its feed-forward network takes no batch")
        where = _where(engine, layer, inputs)
        changed = engine.call("feed_forward", where, inputs, outputs)
        return changed if rest is None else (changed, *rest)

    return hook


def _where(engine: EngineView, layer: int, hidden: Tensor) -> At:
    """Say where the stream [B, Q, D] is seen; `rows` counts all Q."""
    batch, length = hidden.shape[:2]
    prefix = engine.prefix(batch)
    where, start = engine.at(layer, length, length + (prefix.length if prefix else 0), batch)
    if where.phase == "decode":
        where = replace(where, n_keys=where.n_tokens)
    if start:
        where = replace(where, rows=torch.nn.functional.pad(where.rows, (start, 0)))
    return where


def _with_first(args: Any, kwargs: Any, hidden: Tensor) -> Any:
    if args:
        return (hidden, *args[1:]), kwargs
    return args, kwargs | {"hidden_states": hidden}
