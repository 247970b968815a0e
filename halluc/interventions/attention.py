"""The attention function that serves a method's attention seams.

It calls the kernel it replaces. It computes weights explicitly only for the rows and layers the
method edits, and where rows go on from a shared prefix, whose keys no kernel knows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from halluc.interventions.attention_math import (
    attention_weights,
    masked,
    may_attend,
    products,
    times_values,
    visible,
    with_bias,
)
from halluc.interventions.attention_switch import kernel_of
from halluc.interventions.seams import EDITED_ATTENTION

if TYPE_CHECKING:
    from halluc.interventions.context import At
    from halluc.interventions.engine_view import EngineView
    from halluc.interventions.shared_prefix import Prefix


@dataclass(frozen=True)
class _Rows:
    """The query rows that are computed explicitly, and what they attend to.

    Attributes:
        query: [B, H, R, d].
        key, value: [B, Hk, K', d], without those of the prefix.
        mask: From `visible`, cut to the rows; None if they see everything.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    mask: Tensor | None
    scaling: float
    softcap: float | None


class EditedAttention:
    """Attention of the language model with a method's seams in it.

    Args:
        engine: Serves the method; what is to be edited is read from it in every call.
    """

    def __init__(self, engine: EngineView) -> None:
        self.engine = engine
        attention = engine.model.self_attention | engine.model.cross_attention
        self._layer_of = {id(module): layer for layer, module in attention.items()}
        self._kernel = engine.model.text_attention

    def __call__(
        self,
        module: torch.nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        scaling: float | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, None]:
        """Attend as transformers asks for: [B, H, Q, d] in, [B, Q, H, d] out."""
        engine, layer = self.engine, self._layer_of.get(id(module))
        seams = engine.live(layer)
        scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
        kernel = partial(
            kernel_of(self._kernel, module), module, query, key, value, scaling=scaling, **kwargs
        )
        prefix = engine.prefix(query.shape[0])
        if layer is None or not (seams or prefix):
            return self._without_image(layer, kernel(attention_mask)[0]), None

        n_rows, n_keys = query.shape[2], key.shape[2] + (prefix.length if prefix else 0)
        crosses = layer in engine.model.cross_attention
        at, start = engine.at(layer, n_rows, n_keys, query.shape[0], crosses)
        bias = engine.call("attention_bias", at) if "attention_bias" in seams else None

        output = edited = None
        rows_are_edited = EDITED_ATTENTION & set(seams)
        if prefix or rows_are_edited or (bias is not None and n_rows == 1):
            start = 0 if prefix else start  # no kernel knows the prefix
            mask = visible(attention_mask, n_rows, n_keys, query.device)
            mask = mask if mask is None else mask[:, :, start:]
            # SDPA has none; transformers before 5.18 leaves it out there, later ones refuse.
            softcap = None if self._kernel == "sdpa" else kwargs.get("softcap")
            rows = _Rows(query[:, :, start:], key, value, mask, scaling, softcap)
            edited = self._explicit(at, seams, prefix, rows, bias)
            if start == 0 and (prefix or not at.prefill or bool(at.rows.all())):
                output = edited
        if output is None:
            if bias is not None:
                attention_mask = with_bias(attention_mask, bias, n_rows, key)
            output = kernel(attention_mask)[0]
            if edited is not None:
                behind = torch.where(at.rows[:, :, None, None], edited, output[:, start:])
                output = torch.cat([output[:, :start], behind], dim=1)
        output = self._without_image(layer, output)
        if "head_gain" in seams:
            gain = engine.call("head_gain", at, output)
            output = output * gain[:, None, :, None].to(output.dtype)
        return output, None

    def _without_image(self, layer: int | None, output: Tensor) -> Tensor:
        """Silence layers that hold the image for prompts that have none.

        transformers skips such layers in a batch without images, but in a mixed batch lets rows
        that may attend to nothing attend to everything.
        """
        if layer not in self.engine.model.cross_attention:
            return output
        has_image = self.engine.memory.tokens.image_mask.any(1)
        if bool(has_image.all()):
            return output
        repeats = len(output) // len(has_image)
        return output * has_image.repeat_interleave(repeats)[:, None, None, None]

    def _explicit(
        self,
        at: At,
        seams: tuple[str, ...],
        prefix: Prefix | None,
        rows: _Rows,
        bias: Tensor | None,
    ) -> Tensor:
        """Compute the attention of some rows as the method wants it, [B, R, H, d].

        `attention` is q.k, then logits, then weights [B, H, R, K]. The three share a name so that
        no more than two of them are in memory at once.
        """
        query, mask = rows.query, rows.mask
        if EDITED_ATTENTION & set(seams):
            if mask is None:
                visible_keys = self.engine.all_true(1, 1, at.n_keys)
            else:
                visible_keys = may_attend(mask)[:, 0]
            attends = partial(_attended, at.layer, prefix, rows.value)
            at = replace(at, visible=visible_keys[:, -at.rows.shape[1] :], attends=attends)
        attention = products(query, rows.key)
        if prefix:
            attention = torch.cat([prefix.products(at.layer, query), attention], dim=-1)
        attention = masked(attention, mask, rows.scaling, rows.softcap)
        if bias is not None:
            whole = bias.shape[2] == 1
            attention = attention + (bias if whole else bias[:, :, -attention.shape[2] :])
        if "attention_logits" in seams:
            attention = self._edited("attention_logits", at, attention)
        changed = bias is not None or "attention_logits" in seams
        # Edited logits are masked again; others went through `masked` just now.
        attention = attention_weights(attention, mask) if changed else attention.softmax(-1)
        if "attention_weights" in seams:
            attention = self._edited("attention_weights", at, attention)
        return _attended(at.layer, prefix, rows.value, attention)

    def _edited(self, seam: str, at: At, values: Tensor) -> Tensor:
        """Hand the last rows of [B, H, R', K] to a seam; others come back as they are."""
        rows = at.rows.shape[1]
        before = values[:, :, -rows:]
        after: Tensor = self.engine.call(seam, at, before)
        if at.memory.prefix is None or not at.prefill:
            return after
        after = torch.where(at.rows[:, None, :, None], after, before)
        return torch.cat([values[:, :, :-rows], after], dim=2)


def _attended(layer: int, prefix: Prefix | None, value: Tensor, weights: Tensor) -> Tensor:
    """Sum values up by weights [B, H, R, K], into [B, R, H, d].

    Args:
        value: Without that of the prefix [B, Hk, K', d].
    """
    weights = weights.to(value.dtype)
    if prefix is None:
        return times_values(weights, value).transpose(1, 2)
    # The sum over keys falls into the prefix's keys and those behind it.
    of_prefix = prefix.times_values(layer, weights[..., : prefix.length])
    of_rest = times_values(weights[..., prefix.length :], value)
    return (of_prefix + of_rest).transpose(1, 2)
