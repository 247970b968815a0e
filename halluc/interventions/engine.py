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
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from halluc.interventions.rows import attention_weights, masked_scores, visible, with_bias
from halluc.interventions.site import Prompted, Site
from halluc.interventions.switch import SeamError, kernel_of, switched
from halluc.interventions.vision import reading_cls
from halluc.models.embedded import forwarded

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
        self.method = method
        self.prompted = prompted
        self.passes = 0
        self.seams = method.declared()
        self.called: set[str] = set()
        self._edited = frozenset(method.layers(model.n_layers))
        self._layer_of = {id(module): i for i, module in enumerate(model.attention_modules)}
        self._kernel = model.text_attention

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
        layer = self._layer_of.get(id(module))
        seams = self.seams if layer in self._edited else ()
        scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
        site, start = self._site(layer or 0, query.shape[2], key.shape[2], query.shape[0])
        bias = self._call("bias", site) if "bias" in seams else None
        explicit = "scores" in seams or "weights" in seams

        edited: Tensor | None = None
        if explicit or (bias is not None and query.shape[2] == 1):
            mask = visible(attention_mask, query.shape[2], key)[:, :, start:]
            scores = masked_scores(query[:, :, start:], key, mask, scaling)
            if bias is not None:
                scores = scores + (bias if bias.shape[2] == 1 else bias[:, :, start:])
            if "scores" in seams:
                scores = self._call("scores", site, scores)
            weights = attention_weights(scores, mask)
            if "weights" in seams:
                weights = self._call("weights", site, weights)
            edited = _times_values(weights.to(query.dtype), value)

        if edited is not None and start == 0 and bool(site.rows.all()):
            output = edited
        else:
            if bias is not None:
                attention_mask = with_bias(attention_mask, bias, query.shape[2], key)
            output, _ = kernel_of(self._kernel, module)(
                module, query, key, value, attention_mask, scaling=scaling, **kwargs
            )
            if edited is not None:
                kept = output[:, start:]
                rows = torch.where(site.rows[:, :, None, None], edited, kept)
                output = torch.cat([output[:, :start], rows], dim=1)
        if "heads" in seams:
            gain = self._call("heads", site, output)
            output = output * gain[:, None, :, None].to(output.dtype)
        return output, None

    def observe(self, layer: int, hidden: Tensor) -> None:
        """Show the method the residual stream entering `layer`, [B, Q, D]."""
        if "observe" not in self.seams or layer not in self._edited:
            return
        length = hidden.shape[1]
        site, start = self._site(layer, length, length, hidden.shape[0])
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
            self.model.model(**forwarded(self.model, inputs), use_cache=False, logits_to_keep=1)
        finally:
            self.prompted = own

    @contextmanager
    def serving(self, method: Method, prompted: Prompted) -> Iterator[None]:
        """Serve one part of a composite alone, for passes of its own."""
        whole = self.method, self.prompted, self.seams, self._edited
        self.method, self.prompted, self.seams = method, prompted, method.declared()
        self._edited = frozenset(method.layers(self.model.n_layers))
        try:
            yield
        finally:
            self.method, self.prompted, self.seams, self._edited = whole

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

    def _site(self, layer: int, n_rows: int, n_keys: int, batch: int) -> tuple[Site, int]:
        """The site of this call, and the index of the first query row it hands to the method."""
        prompted = self.prompted
        repeats = batch // prompted.size  # beams stand next to each other
        image = self.model.image_columns(layer, n_keys, prompted.image_mask)
        real = torch.nn.functional.pad(
            prompted.attention_mask.bool(),
            (0, n_keys - prompted.attention_mask.shape[1]),
            value=True,
        )
        if n_rows == 1 or self.method.rows == "last":
            rows, start = image.new_ones(image.shape[0], 1), n_rows - 1
        elif self.method.rows == "all":
            rows, start = prompted.attention_mask.bool()[:, -n_rows:], 0
        else:
            after = prompted.image_mask.flip(1).cumsum(1).flip(1) == 0
            after &= prompted.attention_mask.bool()
            rows = after[:, -n_rows:]
            start = int(rows.int().argmax(1).min())
            rows = rows[:, start:]
        if repeats > 1:
            image, real, rows = (x.repeat_interleave(repeats, 0) for x in (image, real, rows))
        model = self.model
        site = Site(layer, model.n_layers, model.n_heads, n_rows > 1, image, real, rows, prompted)
        return site, start


@contextmanager
def intervene(model: VisionLanguageModel, method: Method, prompted: Prompted) -> Iterator[Engine]:
    """Serve `method` on `model` for one batch; restore the model exactly on leaving.

    Raises:
        SeamError: On leaving, if a declared seam was bound to nothing.
    """
    prompted.state = method.begin(prompted)
    engine = Engine(model, method, prompted)
    with ExitStack() as stack:
        _count_passes(stack, model, engine)
        if set(engine.seams) & {"bias", "scores", "weights", "heads"}:
            stack.enter_context(switched(model, "text", engine.attend))
        if "observe" in engine.seams:
            _observe_layers(stack, model, engine)
        if method.vision_layers:
            stack.enter_context(reading_cls(model, method.vision_layers, prompted.vision_attention))
        yield engine
    engine.check_bound()


def _count_passes(stack: ExitStack, model: VisionLanguageModel, engine: Engine) -> None:
    def count(*_: Any) -> None:
        engine.passes += 1

    stack.callback(model.decoder.register_forward_pre_hook(count).remove)


def _observe_layers(stack: ExitStack, model: VisionLanguageModel, engine: Engine) -> None:
    for index in sorted(engine._edited):

        def look(_: Any, args: Any, kwargs: Any, index: int = index) -> None:
            engine.observe(index, args[0] if args else kwargs["hidden_states"])

        handle = model.layers[index].register_forward_pre_hook(look, with_kwargs=True)
        stack.callback(handle.remove)


def _times_values(weights: Tensor, value: Tensor) -> Tensor:
    """[B, H, R, K] times [B, Hk, K, d], grouped heads expanded, as [B, R, H, d]."""
    batch, heads, rows, keys = weights.shape
    grouped = weights.reshape(batch, value.shape[1], -1, keys)
    return (grouped @ value).reshape(batch, heads, rows, -1).transpose(1, 2)
