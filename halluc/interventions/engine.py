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
from transformers import DynamicCache

from halluc.interventions.attention_math import (
    attention_weights,
    masked,
    may_attend,
    products,
    times_values,
    visible,
    with_bias,
)
from halluc.interventions.attention_switch import SeamError, kernel_of, switched
from halluc.interventions.context import Prompted, Site
from halluc.interventions.shared_prefix import Memo, Prefix
from halluc.interventions.vision_hooks import reading_cls
from halluc.models.embed_prompt import forwarded

if TYPE_CHECKING:
    from halluc.interventions.base import Method
    from halluc.models import VisionLanguageModel


_SERVED = ("bias", "scores", "weights", "heads", "observe")  # here; others by the decoding


class Engine:
    """Serves one method's seams for one batch.

    Attributes:
        passes: Forward passes of the language model so far.
        n_tokens: Tokens read once the pass now running is through.
    """

    def __init__(self, model: VisionLanguageModel, method: Method, prompted: Prompted) -> None:
        self.model = model
        self.prompted = prompted
        self.passes = 0
        self.n_tokens = prompted.input_ids.shape[1]
        self.called: set[str] = set()
        self._beginning = False
        self._prefixes: dict[int, Prefix] = {}
        self._known: dict[Any, Tensor] = {}
        attention = model.self_attention | model.cross_attention
        self._layer_of = {id(module): layer for layer, module in attention.items()}
        self._kernel = model.text_attention
        self._serve(method)

    def _serve(self, method: Method) -> None:
        """Take up a method's seams, in the layers it names and attention can be reached in."""
        self.method, self.seams = method, method.declared()
        self._named = frozenset(method.layers(self.model.n_layers))
        reached = set(self.model.self_attention)
        if method.cross_attention:
            reached |= set(self.model.cross_attention)
        self._edited_layers = self._named & reached

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
        seams = self._live(layer)
        scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
        kernel = partial(
            kernel_of(self._kernel, module), module, query, key, value, scaling=scaling, **kwargs
        )
        prefix = self._prefix(query.shape[0])
        if layer is None or not (seams or prefix):
            return self._without_image(layer, kernel(attention_mask)[0]), None

        n_rows, n_keys = query.shape[2], key.shape[2] + (prefix.length if prefix else 0)
        crosses = layer in self.model.cross_attention
        site, start = self._site(layer, n_rows, n_keys, query.shape[0], crosses)
        bias = self._call("bias", site) if "bias" in seams else None

        output = edited = None
        if prefix or {"scores", "weights"} & set(seams) or (bias is not None and n_rows == 1):
            start = 0 if prefix else start  # no kernel knows the prefix
            mask = visible(attention_mask, n_rows, n_keys, query.device)
            mask = mask if mask is None else mask[:, :, start:]
            # SDPA has none; transformers before 5.18 leaves it out there, later ones refuse.
            softcap = None if self._kernel == "sdpa" else kwargs.get("softcap")
            edited = self._explicit(
                site, seams, prefix, query[:, :, start:], key, value, mask, scaling, softcap, bias
            )
            if start == 0 and (prefix or not site.prefill or bool(site.rows.all())):
                output = edited
        if output is None:
            if bias is not None:
                attention_mask = with_bias(attention_mask, bias, n_rows, key)
            output = kernel(attention_mask)[0]
            if edited is not None:
                rows = torch.where(site.rows[:, :, None, None], edited, output[:, start:])
                output = torch.cat([output[:, :start], rows], dim=1)
        output = self._without_image(layer, output)
        if "heads" in seams:
            gain = self._call("heads", site, output)
            output = output * gain[:, None, :, None].to(output.dtype)
        return output, None

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

    def _explicit(
        self,
        site: Site,
        seams: tuple[str, ...],
        prefix: Prefix | None,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        scaling: float,
        softcap: float | None,
        bias: Tensor | None,
    ) -> Tensor:
        """Attention of some rows as the method wants it, [B, R, H, d].

        `found` is q.k, then logits, then weights [B, H, R, K]: one name, so that each is gone
        before the next but one is made.
        """
        if {"scores", "weights"} & set(seams):
            seen = self._all(1, 1, site.n_keys) if mask is None else may_attend(mask)[:, 0]
            site = replace(site, visible=seen[:, -site.rows.shape[1] :])
        found = products(query, key)
        if prefix:
            found = torch.cat([prefix.scores(site.layer, query), found], dim=-1)
        found = masked(found, mask, scaling, softcap)
        if bias is not None:
            found = found + (bias if bias.shape[2] == 1 else bias[:, :, -found.shape[2] :])
        if "scores" in seams:
            found = self._edited("scores", site, found)
        changed = bias is not None or "scores" in seams
        found = attention_weights(found, mask) if changed else found.softmax(-1)
        if "weights" in seams:
            found = self._edited("weights", site, found)
        found = found.to(query.dtype)
        if prefix is None:
            return times_values(found, value).transpose(1, 2)
        read = prefix.times_values(site.layer, found[..., : prefix.length])
        return (read + times_values(found[..., prefix.length :], value)).transpose(1, 2)

    def _edited(self, seam: str, site: Site, values: Tensor) -> Tensor:
        """What a seam makes of the last rows of [B, H, R', K]; others come back as they are."""
        rows = site.rows.shape[1]
        before = values[:, :, -rows:]
        after: Tensor = self._call(seam, site, before)
        if self.prompted.prefix is None or not site.prefill:
            return after
        after = torch.where(site.rows[:, None, :, None], after, before)
        return torch.cat([values[:, :, :-rows], after], dim=2)

    def observe(self, layer: int, hidden: Tensor) -> None:
        """Show the method the residual stream entering `layer`, [B, Q, D], and keep its facts."""
        length = hidden.shape[1]
        if "observe" not in self.seams or layer not in self._named or length == 1:
            return
        prefix = self._prefix(hidden.shape[0])
        n_keys = length + (prefix.length if prefix else 0)
        site, start = self._site(layer, length, n_keys, hidden.shape[0], crosses=False)
        if start:
            site = replace(site, rows=torch.nn.functional.pad(site.rows, (start, 0)))
        facts = self._call("observe", site, hidden)
        self.prompted.observed[layer] = prefix.joined(layer, facts) if prefix else facts

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

    def read_prefix(self, inputs: dict[str, Any], owner: Tensor, memo: Memo | None = None) -> None:
        """Read what several prompts begin with; seams for the rows behind the image rest.

        Args:
            inputs: Model inputs of the U beginnings.
            owner: Which of them each prompt of the batch goes on from, int [B].
            memo: Where they may have been read before.
        """
        batch, how = self.prompted, self.method.reading()
        found = memo.find(how, inputs) if memo else None
        if found is None:
            prefix = self._read(inputs, owner)
            seen = batch.vision_attention
            if memo:
                memo.keep(how, inputs, prefix, seen)
        else:
            prefix, seen = found
            prefix = replace(prefix, owner=owner)
        image = (inputs["input_ids"] == self.model.image_token).any(1)
        rows = (image.cumsum(0) - 1)[owner][image[owner]].tolist()
        batch.vision_attention.update({layer: [of[i] for i in rows] for layer, of in seen.items()})
        batch.prefix = prefix

    def _read(self, inputs: dict[str, Any], owner: Tensor) -> Prefix:
        batch, cache = self.prompted, DynamicCache()
        layers: Any = cache.layers
        self.prompted = self.model.prompted(inputs)
        self.prompted.state = self.method.begin(self.prompted)
        self._beginning = True
        try:
            self.model.model(
                **forwarded(self.model, inputs),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            observed = self.prompted.observed
        finally:
            self.prompted, self._beginning = batch, False
        keys, values = zip(*((layer.keys, layer.values) for layer in layers), strict=True)
        return Prefix(keys, values, owner, observed)

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
                f"{sorted(self._edited_layers)})"
            )

    def _live(self, layer: int | None) -> tuple[str, ...]:
        """Seams to be called in a layer."""
        if layer not in self._edited_layers:
            return ()
        if self._beginning and self.method.rows != "all":
            return tuple(seam for seam in self.seams if seam not in ("scores", "weights"))
        return self.seams

    def _prefix(self, batch: int) -> Prefix | None:
        """What the rows of this pass begin with, beams counted."""
        if self.prompted.prefix is None:
            return None
        repeats = batch // self.prompted.size
        if repeats not in self._prefixes:
            self._prefixes[repeats] = self.prompted.prefix.repeated(repeats)
        return self._prefixes[repeats]

    def _call(self, seam: str, *args: Any) -> Any:
        self.called.add(seam)
        return getattr(self.method, seam)(*args)

    def _site(
        self, layer: int, n_rows: int, n_keys: int, batch: int, crosses: bool
    ) -> tuple[Site, int]:
        """The site of this call, and the index of the first query row it hands to the method."""
        prompted, model = self.prompted, self.model
        repeats = batch // prompted.size  # beams stand next to each other
        if n_rows == 1 or self.method.rows == "last":
            rows, start = self._all(batch, 1), n_rows - 1
        else:
            whole = self.method.rows == "all"
            edited = prompted.attention_mask.bool() if whole else prompted.after_image
            hidden = edited.shape[1] - n_rows  # read beforehand
            start = 0 if whole else max(0, prompted.first_after_image - hidden)
            rows = edited[:, hidden + start :]
            rows = rows if repeats == 1 else rows.repeat_interleave(repeats, 0)
        site = Site(
            layer, model.n_layers, model.n_heads, n_rows > 1, rows, n_keys, self.n_tokens, crosses,
            repeats, prompted, model, known=self._known,
        )  # fmt: skip
        return site, start

    def _all(self, *shape: int) -> Tensor:
        """True everywhere, made once in a pass."""
        if shape not in self._known:
            device = self.prompted.attention_mask.device
            self._known[shape] = torch.ones(shape, dtype=torch.bool, device=device)
        return self._known[shape]


@contextmanager
def intervene(
    model: VisionLanguageModel, method: Method, prompted: Prompted, *, shared: bool = False
) -> Iterator[Engine]:
    """Serve `method` on `model` for one batch; restore the model exactly on leaving.

    Args:
        shared: Whether a prefix will be read for several prompts at once.

    Raises:
        SeamError: On leaving, if a declared seam was bound to nothing.
    """
    prompted.state = method.begin(prompted)
    engine = Engine(model, method, prompted)
    with ExitStack() as stack:
        _count(stack, model, engine)
        blind = bool(model.cross_attention) and not bool(prompted.image_mask.any(1).all())
        if shared or blind or set(engine.seams) & {"bias", "scores", "weights", "heads"}:
            stack.enter_context(switched(model, "text", engine.attend))
        if "observe" in engine.seams:
            _observe_layers(stack, model, engine)
        if method.vision_layers:
            found = prompted.vision_attention
            stack.enter_context(
                reading_cls(model, method.vision_layers, found, lambda: engine.prompted.images)
            )
        yield engine
    engine.check_bound()


def _count(stack: ExitStack, model: VisionLanguageModel, engine: Engine) -> None:
    def count(_: Any, args: Any, kwargs: Any) -> None:
        engine.passes += 1
        engine._known = {}
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
