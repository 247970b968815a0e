"""Hooks on the residual stream as it enters each layer, and on feed-forward networks."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from functools import partial
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
    if method.in_vision_tower:
        _hook_tower(stack, engine)


def _hook_tower(stack: ExitStack, engine: EngineView) -> None:
    """Serve `hidden` and `feed_forward` in the vision tower."""
    tower = engine.model.tower
    if "hidden" in engine.seams:
        _before(stack, tower.layers[0], _entering_tower(engine))
        for layer, module in enumerate(tower.layers, 1):
            # In front: transformers' own hooks, which stay once set, record the hidden states.
            hook = _leaving_tower(engine, layer)
            stack.callback(module.register_forward_hook(hook, prepend=True).remove)
    if "feed_forward" in engine.seams:
        for layer, module in tower.feed_forwards.items():
            hook = _tower_feed_forward(engine, layer)
            stack.callback(module.register_forward_hook(hook, with_kwargs=True).remove)


def _before(stack: ExitStack, module: torch.nn.Module, hook: Any) -> None:
    stack.callback(module.register_forward_pre_hook(hook, with_kwargs=True).remove)


class _Entering:
    """Hook on the stream that enters a layer of the language model: edits it, then keeps it."""

    def __init__(self, engine: EngineView, layer: int, edited: bool, early: bool) -> None:
        self.engine, self.layer, self.edited, self.early = engine, layer, edited, early

    def __call__(self, _: Any, args: Any, kwargs: Any) -> Any:
        hidden: Tensor = args[0] if args else kwargs["hidden_states"]
        changed = None
        if self.edited and self._is_asked():
            where = _where(self.engine, self.layer, hidden)
            changed = self.engine.call("hidden", where, hidden)
        if self.early:
            self.engine.keep_early(self.layer, hidden if changed is None else changed)
        return None if changed is None else _with_first(args, kwargs, changed)

    def _is_asked(self) -> bool:
        """Return whether the method served now, perhaps one part of a composite, acts here."""
        engine = self.engine
        acts = "hidden" in engine.seams and self.layer in engine.named
        return acts and engine.phase in engine.method.hidden_phases


def _entering_tower(engine: EngineView) -> Any:
    def hook(_: Any, args: Any, kwargs: Any) -> Any:
        if not _asked_in_tower(engine, "hidden"):
            return None
        hidden: Tensor = args[0] if args else kwargs["hidden_states"]
        changed = engine.call("hidden", _in_tower(engine, 0, hidden), hidden)
        return None if changed is None else _with_first(args, kwargs, changed)

    return hook


def _leaving_tower(engine: EngineView, layer: int) -> Any:
    """Make the hook on the stream that leaves a layer, to enter the next one, `layer`."""

    def hook(_: Any, args: Any, output: Any) -> Any:
        if not _asked_in_tower(engine, "hidden"):
            return None
        hidden: Tensor = output[0] if isinstance(output, tuple) else output
        changed = engine.call("hidden", _in_tower(engine, layer, hidden), hidden)
        if changed is None:
            return None
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    return hook


def _tower_feed_forward(engine: EngineView, layer: int) -> Any:
    def hook(_: Any, args: Any, kwargs: Any, outputs: Tensor) -> Tensor:
        if not _asked_in_tower(engine, "feed_forward"):
            return outputs
        inputs: Tensor = args[0] if args else next(iter(kwargs.values()))
        where = _in_tower(engine, layer, outputs)
        changed: Tensor = engine.call("feed_forward", where, inputs, outputs)
        return changed

    return hook


def _asked_in_tower(engine: EngineView, seam: str) -> bool:
    """Return whether the method served now, perhaps a part of a composite, acts in the tower."""
    return engine.method.in_vision_tower and seam in engine.seams


def _in_tower(engine: EngineView, layer: int, hidden: Tensor) -> At:
    """Make the `at` for the tower's stream [N, T, D] or [T, D]."""
    rows = torch.ones(hidden.shape[:-1], dtype=torch.bool, device=hidden.device)
    return At(
        model=engine.model,
        memory=engine.memory,
        phase="prefill",
        layer=layer,
        n_layers=len(engine.model.tower.layers),
        n_heads=engine.model.n_heads,
        rows=rows,
        n_keys=hidden.shape[-2],
        n_tokens=hidden.shape[-2],
        part="vision",
        owners=partial(engine.owners, len(hidden)) if hidden.dim() == 3 else None,
    )


def _feed_forward(engine: EngineView, layer: int) -> Any:
    def hook(_: Any, args: Any, kwargs: Any, output: Any) -> Any:
        if "feed_forward" not in engine.seams or layer not in engine.named:
            return output
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
    """Make the `at` for the stream [B, Q, D]; its `rows` counts all Q."""
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
