"""The engine: one attention function and a few read-only hooks, on for the length of a `with`.

    with intervene(model, method, prompted) as engine:
        model.model.generate(...)

It never patches a class and never asks for `output_attentions`. The language model's attention
implementation is switched to a function that calls the kernel it replaces and computes weights
explicitly only for the rows and layers the method edits. Leaving restores the model exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from halluc.interventions.rows import (
    attention_weights,
    masked_scores,
    may_attend,
    visible,
    with_bias,
)
from halluc.interventions.site import Prompted, Site, on_keys
from halluc.interventions.switch import SeamError, kernel_of, switched
from halluc.interventions.vision import reading_cls

if TYPE_CHECKING:
    from halluc.interventions.method import Method
    from halluc.models import VisionLanguageModel


_SERVED = ("bias", "scores", "weights", "heads", "observe")  # here; others by the decoding


class Engine:
    """Serves one method's seams for one batch.

    Attributes:
        passes: Forward passes of the language model so far.
    """

    def __init__(self, model: VisionLanguageModel, method: Method, prompted: Prompted) -> None:
        self.model = model
        self.prompted = prompted
        self.passes = 0
        self.called: set[str] = set()
        self._kernel = model.text_attention
        attention = model.self_attention | model.cross_attention
        self._layer_of = {id(module): layer for layer, module in attention.items()}
        self.n_tokens = prompted.input_ids.shape[1]
        self._serve(method)

    def _serve(self, method: Method) -> None:
        """Take up a method's seams, in the layers it names and attention can be reached in."""
        self.method, self.seams = method, method.declared()
        self._named = frozenset(method.layers(self.model.n_layers))
        reached = set(self.model.self_attention)
        if method.cross_attention:
            reached |= set(self.model.cross_attention)
        self._edited = self._named & reached

    def attend(
        self,
        module: torch.nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        scaling: float | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, None]:
        """The attention function that transformers calls; [B, H, Q, d] in, [B, Q, H, d] out."""
        scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
        kernel = partial(
            kernel_of(self._kernel, module), module, query, key, value, scaling=scaling, **kwargs
        )
        layer = self._layer_of.get(id(module))
        if layer is None or layer not in self._edited:
            return self._without_image(layer, kernel(attention_mask)[0]), None

        n_rows = query.shape[2]
        crosses = layer in self.model.cross_attention
        site, start = self._site(layer, n_rows, key.shape[2], query.shape[0], crosses)
        bias = self._call("bias", site) if "bias" in self.seams else None
        edited: Tensor | None = None
        if {"scores", "weights"} & set(self.seams) or (bias is not None and n_rows == 1):
            mask = visible(attention_mask, n_rows, key)[:, :, start:]
            scores = masked_scores(query[:, :, start:], key, mask, scaling, kwargs.get("softcap"))
            if bias is not None:
                scores = scores + (bias if bias.shape[2] == 1 else bias[:, :, start:])
            weights = self._edit(replace(site, visible=may_attend(mask)[:, 0]), scores, mask)
            edited = _times_values(weights.to(query.dtype), value)

        if edited is not None and start == 0 and bool(site.rows.all()):
            output = edited
        else:
            if bias is not None:
                attention_mask = with_bias(attention_mask, bias, n_rows, key)
            output = kernel(attention_mask)[0]
            if edited is not None:
                rows = torch.where(site.rows[:, :, None, None], edited, output[:, start:])
                output = torch.cat([output[:, :start], rows], dim=1)
        output = self._without_image(layer, output)
        if "heads" in self.seams:
            gain = self._call("heads", site, output)
            output = output * gain[:, None, :, None].to(output.dtype)
        return output, None

    def _edit(self, site: Site, scores: Tensor, mask: Tensor) -> Tensor:
        """Attention weights of the rows handed to the method, as it wants them [B, H, R, K]."""
        if "scores" in self.seams:
            scores = self._call("scores", site, scores)
        weights = attention_weights(scores, mask)
        return self._call("weights", site, weights) if "weights" in self.seams else weights

    def _without_image(self, layer: int | None, output: Tensor) -> Tensor:
        """Silence layers that hold the image for prompts that have none.

        transformers skips such layers in a batch without images, but in a mixed batch lets rows
        that may attend to nothing attend to everything.
        """
        if layer not in self.model.cross_attention:
            return output
        seen = self.prompted.image_mask.any(1)
        if bool(seen.all()):
            return output
        return output * seen.repeat_interleave(len(output) // len(seen))[:, None, None, None]

    def observe(self, layer: int, hidden: Tensor) -> None:
        """Show the method the residual stream entering `layer`, [B, Q, D]."""
        if "observe" not in self.seams or layer not in self._named:
            return
        length = hidden.shape[1]
        site, start = self._site(layer, length, length, hidden.shape[0], crosses=False)
        if start:
            rows = torch.nn.functional.pad(site.rows, (start, 0))
            site = replace(site, rows=rows)
        self._call("observe", site, hidden)

    def read(self, inputs: dict[str, Any]) -> None:
        """Run one pass over other prompts than the batch's own, with the batch's state.

        Args:
            inputs: Model inputs of any number of rows.
        """
        own = self.prompted
        self.prompted = replace(self.model.prompted(inputs), state=own.state)
        try:
            self.model.model(**inputs, use_cache=False, logits_to_keep=1)
        finally:
            self.prompted = own

    @contextmanager
    def serving(self, method: Method, prompted: Prompted) -> Iterator[None]:
        """Serve one part of a composite alone, for passes of its own."""
        whole = self.method, self.prompted
        self.prompted = prompted
        self._serve(method)
        try:
            yield
        finally:
            self.prompted = whole[1]
            self._serve(whole[0])

    def check_bound(self) -> None:
        """Raise SeamError if a declared seam was never called although the model ran."""
        missing = [seam for seam in self.seams if seam in _SERVED and seam not in self.called]
        if self.passes and missing:
            raise SeamError(
                f"method {self.method.name!r}: seam {missing[0]!r} bound to nothing on "
                f"{self.model.name} ({self.model.n_layers} layers, method edits "
                f"{sorted(self._edited)})"
            )

    def _call(self, seam: str, *args: Any) -> Any:
        self.called.add(seam)
        return getattr(self.method, seam)(*args)

    def _site(
        self, layer: int, n_rows: int, n_keys: int, batch: int, crosses: bool
    ) -> tuple[Site, int]:
        """The site of this call, and the index of the first query row it hands to the method."""
        prompted, model = self.prompted, self.model
        image = model.image_columns(layer, n_keys, prompted.image_mask, self.n_tokens)
        mask = prompted.attention_mask.bool()
        # What is not padding is marked with False, which is what keys behind the prompt get.
        real = image if crosses else ~on_keys(~mask, n_keys, self.n_tokens)
        rows, start = self._rows(n_rows, mask, prompted.image_mask)
        repeats = batch // prompted.size  # beams stand next to each other
        if repeats > 1:
            image, real, rows = (x.repeat_interleave(repeats, 0) for x in (image, real, rows))
        site = Site(
            layer, model.n_layers, model.n_heads, n_rows > 1, self.n_tokens, crosses,
            image, real, rows, prompted,
        )  # fmt: skip
        return site, start

    def _rows(self, n_rows: int, mask: Tensor, image: Tensor) -> tuple[Tensor, int]:
        """Rows the method edits among those handed to it, bool [B, R], and the first of them."""
        if n_rows == 1 or self.method.rows == "last":
            return mask.new_ones(len(mask), 1), n_rows - 1
        if self.method.rows == "all":
            return mask[:, -n_rows:], 0
        after = mask & (image.flip(1).cumsum(1).flip(1) == 0)
        rows = after[:, -n_rows:]
        start = int(rows.int().argmax(1).min())
        return rows[:, start:], start


@contextmanager
def intervene(model: VisionLanguageModel, method: Method, prompted: Prompted) -> Iterator[Engine]:
    """Serve `method` on `model` for one batch; restore the model exactly on leaving.

    Raises:
        SeamError: On leaving, if a declared seam was bound to nothing.
    """
    prompted.state = method.begin(prompted)
    engine = Engine(model, method, prompted)
    with ExitStack() as stack:
        _count(stack, model, engine)
        blind = model.cross_attention and not bool(prompted.image_mask.any(1).all())
        if blind or set(engine.seams) & {"bias", "scores", "weights", "heads"}:
            stack.enter_context(switched(model, "text", engine.attend))
        if "observe" in engine.seams:
            _observe_layers(stack, model, engine)
        if method.vision_layers:
            found, images = prompted.vision_attention, prompted.images
            stack.enter_context(reading_cls(model, method.vision_layers, found, images))
        yield engine
    engine.check_bound()


def _count(stack: ExitStack, model: VisionLanguageModel, engine: Engine) -> None:
    """Count passes, and the tokens read once a pass is through."""

    def count(_: Any, args: Any, kwargs: Any) -> None:
        engine.passes += 1
        given = (kwargs.get("inputs_embeds"), kwargs.get("input_ids"), *args)
        new = next(value for value in given if value is not None)
        cache = kwargs.get("past_key_values")
        engine.n_tokens = new.shape[1] + (0 if cache is None else int(cache.get_seq_length()))

    handle = model.decoder.register_forward_pre_hook(count, with_kwargs=True)
    stack.callback(handle.remove)


def _observe_layers(stack: ExitStack, model: VisionLanguageModel, engine: Engine) -> None:
    for index in sorted(engine._named):

        def look(_: Any, args: Any, kwargs: Any, index: int = index) -> None:
            engine.observe(index, args[0] if args else kwargs["hidden_states"])

        handle = model.layers[index].register_forward_pre_hook(look, with_kwargs=True)
        stack.callback(handle.remove)


def _times_values(weights: Tensor, value: Tensor) -> Tensor:
    """[B, H, R, K] times [B, Hk, K, d], grouped heads expanded, as [B, R, H, d]."""
    batch, heads, rows, keys = weights.shape
    grouped = weights.reshape(batch, value.shape[1], -1, keys)
    return (grouped @ value).reshape(batch, heads, rows, -1).transpose(1, 2)
