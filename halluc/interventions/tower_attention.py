"""The attention function that serves `attention_weights` in the vision tower."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from halluc.interventions.attention_math import masked, may_attend, products, times_values
from halluc.interventions.attention_switch import kernel_of
from halluc.interventions.context import At

if TYPE_CHECKING:
    from halluc.interventions.engine_view import EngineView


class TowerAttention:
    """Attention of the vision tower with a method's `attention_weights` in it.

    Args:
        engine: Serves the method; whether it acts in the tower is read from it in every call.
    """

    def __init__(self, engine: EngineView) -> None:
        self.engine = engine
        modules = engine.model.tower.attention_modules
        self._layer_of = {id(module): layer for layer, module in enumerate(modules)}
        self._kernel = engine.model.attention_of("vision")
        self._before = (0, 0)  # the layer of the last call, and the tokens it has read so far

    def __call__(
        self,
        module: torch.nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None = None,
        scaling: float | None = None,
        **kwargs: Any,
    ) -> Any:
        """Attend as transformers asks for: [N, H, T, d] in, [N, T, H, d] out."""
        engine, layer = self.engine, self._layer_of.get(id(module))
        scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
        if layer is None or not self._is_asked():
            kernel = kernel_of(self._kernel, module)
            return kernel(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
        rows, heads, length = query.shape[:3]
        start = self._before[1] if self._before[0] == layer else 0
        self._before = (layer, start + length)
        at = At(
            model=engine.model,
            memory=engine.memory,
            phase="prefill",
            layer=layer,
            n_layers=len(engine.model.tower.layers),
            n_heads=heads,
            rows=torch.ones(rows, length, dtype=torch.bool, device=query.device),
            n_keys=key.shape[2],
            n_tokens=key.shape[2],
            part="vision",
            owners=partial(engine.owners, rows, start, length),
        )
        mask = None if attention_mask is None else attention_mask[..., : key.shape[2]]
        seen = at.rows.new_ones(1, 1, key.shape[2]) if mask is None else may_attend(mask)[:, 0]
        weights = masked(products(query, key), mask, scaling).softmax(-1)
        weights = engine.call("attention_weights", replace(at, visible=seen), weights)
        return times_values(weights.to(query.dtype), value).transpose(1, 2).contiguous(), None

    def _is_asked(self) -> bool:
        """Return whether the method served now, perhaps one part of a composite, acts here."""
        engine = self.engine
        return engine.method.attention_in_tower and "attention_weights" in engine.seams
