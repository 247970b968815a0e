"""The engine: serves one method's seams for the length of a `with`, and restores the model.

    with intervene(model, method, state) as engine:
        model.model.generate(...)

It never patches a class and never asks for `output_attentions`. The language model's attention
implementation is switched to a function that calls the kernel it replaces and computes weights
explicitly only for the rows and layers the method edits (`attention.py`); the residual stream and
feed-forward networks are reached by hooks (`residual.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from transformers import DynamicCache, GenerationMixin

from halluc.interventions.attention import EditedAttention
from halluc.interventions.attention_switch import SeamError, switched
from halluc.interventions.context import MAIN, At, BatchState, Phase
from halluc.interventions.engine_view import SeamCall
from halluc.interventions.residual import hook_residual
from halluc.interventions.seams import EDITED_ATTENTION, IN_ATTENTION, IN_LAYERS
from halluc.interventions.shared_prefix import KeptPrefix, Memo, Prefix
from halluc.interventions.touch import Touch
from halluc.interventions.tower_attention import TowerAttention
from halluc.interventions.tower_rows import images_of_rows
from halluc.interventions.vision_hooks import reading_cls
from halluc.interventions.weight_scope import scoped_weights
from halluc.models.embed_prompt import forwarded

if TYPE_CHECKING:
    from halluc.interventions.base import Method
    from halluc.models import VisionLanguageModel


class JoinedLogits(NamedTuple):
    """Next-token logits that a method made of its streams'.

    Attributes:
        logits: [B, V].
        forbidden: Tokens ruled out, bool [B, V]; None if there are none.
    """

    logits: Tensor
    forbidden: Tensor | None


class Engine:
    """Server of one method's seams for one batch.

    Attributes:
        memory: The batch and what is remembered of it.
        phase: Phase of the pass now running.
        n_tokens: Tokens read by the end of the pass now running.
        called: Seams that were called.
    """

    def __init__(
        self,
        model: VisionLanguageModel,
        method: Method,
        memory: BatchState,
        touch: Touch | None = None,
    ) -> None:
        self.model = model
        self.called: set[str] = set()
        self._touch = touch if touch is not None and touch.watching else None
        self._ran = False
        self._in_own_pass = False
        self._ends = torch.tensor(model.end_tokens, device=memory.tokens.input_ids.device)
        self._start(memory)
        self._serve(method)

    def _start(self, memory: BatchState) -> None:
        self.memory = memory
        self.phase: Phase = "prefill"
        self.n_tokens = memory.tokens.input_ids.shape[1]
        self.known: dict[Any, Tensor] = {}
        self._in_prefix = False
        self._read_for: Tensor | None = None
        self._prefixes: dict[int, Prefix] = {}
        self._early: dict[int, Tensor] = {}
        self._passes = torch.zeros(memory.batch.size, device=memory.tokens.input_ids.device)
        self._alive: Tensor | None = None

    def restart(self, memory: BatchState) -> None:
        """Go on with another batch, whose images are not encoded yet."""
        memory.method = self.method.begin(memory.batch)
        memory.vision_attention = self.memory.vision_attention  # hooks in the tower fill it in
        memory.vision_attention.clear()
        self._start(memory)

    def _serve(self, method: Method) -> None:
        """Take up a method's seams, in the layers it names and attention can be reached in."""
        self.method = method
        self.seams = method.active()
        self.named = frozenset(method.layers(self.model.n_layers))
        reached = set(self.model.self_attention)
        if method.cross_attention:
            reached |= set(self.model.cross_attention)
        self._edited_layers = self.named & reached

    @property
    def passes(self) -> list[float]:
        """Forward passes of the language model so far in which each sample took part [B].

        A pass of several streams or beams counts once for each; rows whose answer has ended do not
        count, and what several prompts share counts once, as part of their own first pass.
        """
        counts: list[float] = self._passes.tolist()
        return counts

    @property
    def running(self) -> Tensor:
        """Which rows of the last pass have not ended, bool [rows]."""
        if self._alive is None:
            raise ValueError("no pass has been made yet")
        return self._alive

    # -- A pass ------------------------------------------------------------------------------------

    def start_pass(self, n_new: int, n_before: int) -> None:
        """Note a pass of the language model's layers over `n_new` tokens behind `n_before`."""
        self._ran = True
        self.known = {}
        self.n_tokens = n_new + n_before
        self.phase = "prefix" if self._in_prefix else "decode" if n_new == 1 else "prefill"

    def feed(self, input_ids: Tensor) -> None:
        """Note the tokens that the whole model is about to read, int [rows, Q]; count the pass."""
        rows, size = input_ids.shape[0], self.memory.batch.size
        if self._in_prefix:
            return
        if self._in_own_pass:
            self._passes += rows / size
            return
        alive = self._alive
        if input_ids.shape[1] == 1 and alive is not None and len(alive) == rows:
            before = self.memory.generated
            fed = input_ids if before is None else torch.cat([before, input_ids], 1)
            self.memory.generated = fed
            alive &= ~torch.isin(input_ids[:, 0], self._ends)
        else:
            self._alive = alive = torch.ones(rows, dtype=torch.bool, device=input_ids.device)
            self.memory.generated = None
        by_sample = alive.view(len(self.memory.streams), size, -1)
        self._passes += by_sample.sum((0, 2))

    def reorder(self, rows: Tensor) -> None:
        """Follow beams that change places; each row goes on from row `rows` [B]."""
        memory = self.memory
        if memory.generated is not None:
            memory.generated = memory.generated[rows]
        if self._alive is not None:
            self._alive = self._alive[rows]
        memory.method = self.method.reorder(memory.method, rows)

    def rollback(self, count: int) -> None:
        """Follow a search that takes the last `count` tokens back."""
        generated = self.memory.generated
        if generated is not None:
            self.memory.generated = generated[:, : generated.shape[1] - count]
            self._alive = ~torch.isin(self.memory.generated, self._ends).any(1)

    def call(self, seam: str, *args: Any) -> Any:
        """Call one of the method's seams."""
        self.called.add(seam)
        result = getattr(self.method, seam)(*args)
        if self._touch is not None and not self._touch.seen:
            self._touch.note(seam, args, result)
        return result

    def live(self, layer: int | None) -> tuple[str, ...]:
        """Return the attention seams to be called in a layer."""
        if layer not in self._edited_layers:
            return ()
        behind_image = self._in_prefix and self.method.rows != "all"
        if behind_image or self.phase not in self.method.attention_phases:
            return tuple(seam for seam in self.seams if seam not in EDITED_ATTENTION)
        return self.seams

    def prefix(self, rows: int) -> Prefix | None:
        """Return the prefix that the rows of this pass go on from, with beams repeated."""
        if self.memory.prefix is None:
            return None
        repeats = rows // self.memory.tokens.size
        if repeats not in self._prefixes:
            self._prefixes[repeats] = self.memory.prefix.repeated(repeats)
        return self._prefixes[repeats]

    def at(
        self, layer: int, n_rows: int, n_keys: int, batch: int, crosses: bool = False
    ) -> SeamCall:
        """Describe the place at which a seam is called."""
        tokens, model = self.memory.tokens, self.model
        repeats = batch // tokens.size  # beams stand next to each other
        if n_rows == 1 or self.method.rows == "last":
            rows, start = self.all_true(batch, 1), n_rows - 1
        else:
            whole = self.method.rows == "all"
            edited = tokens.attention_mask.bool() if whole else tokens.after_image
            before = edited.shape[1] - n_rows  # tokens of the shared prefix
            start = 0 if whole else max(0, tokens.first_after_image - before)
            rows = edited[:, before + start :]
            rows = rows if repeats == 1 else rows.repeat_interleave(repeats, 0)
        where = At(
            model=model,
            memory=self.memory,
            phase=self.phase,
            layer=layer,
            n_layers=model.n_layers,
            n_heads=model.n_heads,
            rows=rows,
            n_keys=n_keys,
            n_tokens=self.n_tokens,
            crosses=crosses,
            repeats=repeats,
            known=self.known,
        )
        return SeamCall(where, start)

    def owners(self, n_rows: int, start: int = 0, n_tokens: int = 0) -> Tensor | None:
        """Find the row of the batch whose image each row of the vision tower belongs to.

        Args:
            n_rows: Rows that the tower reads together.
            start, n_tokens: Where they stand among tokens of several images below each other.

        Returns:
            int [n_rows]; in phase "prefix" the first of the rows that share it. None where the
            rows are not one image's each.
        """
        tokens = self.memory.tokens
        rows = tokens.image_mask.any(1).nonzero()[:, 0]
        if self._in_prefix and self._read_for is not None:
            rows = self._read_for[rows]
        images = {"input_ids": tokens.input_ids, **tokens.images}
        numbers = images_of_rows(self.model, images, len(rows), n_rows, start, n_tokens)
        return None if numbers is None else rows[rows.new_tensor(numbers)]

    def all_true(self, *shape: int) -> Tensor:
        """Return a tensor of True in this shape, made once a pass."""
        if shape not in self.known:
            device = self.memory.tokens.attention_mask.device
            self.known[shape] = torch.ones(shape, dtype=torch.bool, device=device)
        return self.known[shape]

    # -- Next-token logits -------------------------------------------------------------------------

    def keep_early(self, layer: int, hidden: Tensor) -> None:
        """Keep the last row of the residual stream [rows, Q, D] that enters a layer."""
        if not self._in_own_pass:
            self._early[layer] = hidden[:, -1]

    def next_token_logits(self, logits: Tensor) -> JoinedLogits:
        """Let the method join the streams' logits.

        Args:
            logits: fp32 [S * B, V].
        """
        rows = len(logits)
        where, _ = self.at(self.model.n_layers, 1, self.n_tokens, rows)
        where = replace(where, logits_at=self._logits_at)
        combined: Tensor = self.call("next_token_logits", where, self._by_stream(logits))
        return JoinedLogits(combined, where.forbidden.tokens)

    def _by_stream(self, values: Tensor) -> dict[str, Tensor]:
        streams = self.memory.streams
        return dict(zip(streams, values.unflatten(0, (len(streams), -1)), strict=True))

    def _logits_at(self, layer: int, normed: bool) -> Mapping[str, Tensor]:
        if layer not in self._early:
            declared = sorted(self.method.early_layers(self.model.n_layers))
            raise ValueError(f"layer {layer} is not among early_layers: {declared}")
        return self._by_stream(self.model.read_off(self._early[layer], normed).float())

    # -- Passes over other prompts -----------------------------------------------------------------

    def forward(self, inputs: Mapping[str, Any]) -> Tensor:
        """Run one pass over other prompts than the batch's own, with the batch's memory.

        Args:
            inputs: Model inputs of any number of rows N.

        Returns:
            Next-token logits [N, V].
        """
        memory, phase, alive = self.memory, self.phase, self._alive
        self.memory = replace(
            memory,
            tokens=self.model.prompt_tokens(inputs),
            streams=(MAIN,),
            remembered={},
            prefix=None,
            generated=None,
        )
        self._in_own_pass = True
        try:
            output = self.model.model(
                **forwarded(self.model, dict(inputs)), use_cache=False, logits_to_keep=1
            )
        finally:
            self.memory, self.phase, self._alive = memory, phase, alive
            self._in_own_pass = False
        logits: Tensor = output.logits[:, -1]
        return logits

    def read_prefix(self, inputs: dict[str, Any], owner: Tensor, memo: Memo | None = None) -> None:
        """Read the prefixes of prompts; seams for the rows behind the image are not called.

        Args:
            inputs: Model inputs of the U prefixes.
            owner: The prefix that each prompt of the batch goes on from, int [B].
            memo: Keeps them for other runs, and may have them already.
        """
        memory = self.memory

        def read() -> KeptPrefix:
            prefix = self._read_prefix(inputs, owner)
            return KeptPrefix(prefix, dict(memory.vision_attention))

        if memo is None:
            prefix, attention = read()
        else:
            prefix, attention = memo.prefix(self.method.prefix_key(), inputs, read)
            prefix = replace(prefix, owner=owner)
        image = (inputs["input_ids"] == self.model.image_token).any(1)
        rows = (image.cumsum(0) - 1)[owner][image[owner]].tolist()
        by_prompt = {layer: [images[i] for i in rows] for layer, images in attention.items()}
        memory.vision_attention.update(by_prompt)
        memory.prefix = prefix

    def _read_prefix(self, inputs: dict[str, Any], owner: Tensor) -> Prefix:
        memory, cache = self.memory, DynamicCache()
        layers: Any = cache.layers
        self.memory = BatchState(
            memory.batch,
            self.model.prompt_tokens(inputs),
            method=self.method.begin(memory.batch),
            vision_attention=memory.vision_attention,
        )
        self._in_prefix = True
        firsts = [(owner == prefix).int().argmax() for prefix in range(int(owner.max()) + 1)]
        self._read_for = torch.stack(firsts)
        try:
            self.model.model(
                **forwarded(self.model, inputs),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            remembered = self.memory.remembered
        finally:
            self.memory, self._in_prefix = memory, False
        keys, values = zip(*((layer.keys, layer.values) for layer in layers), strict=True)
        return Prefix(keys, values, owner, remembered)

    @contextmanager
    def serving(self, method: Method, memory: BatchState) -> Iterator[None]:
        """Serve one part of a composite alone, for passes of its own."""
        whole = self.method, self.memory
        self.memory = memory
        self._serve(method)
        try:
            yield
        finally:
            self.memory = whole[1]
            self._serve(whole[0])

    def prepare(self, inputs: Mapping[str, Any]) -> None:
        """Let the method, or each part of a composite, read the prompts in passes of its own."""
        if "prepare" not in self.seams:
            return
        for part, method in enumerate(self.method.methods):
            with self.serving(method, self.memory.of_part(part, 0)):
                self.prepare(inputs)
        if not self.method.methods:
            tokens = self.memory.tokens
            where, _ = self.at(0, 1, tokens.input_ids.shape[1], tokens.size)
            self.call("prepare", where, inputs, self.forward)

    def check_bound(self) -> None:
        """Check that all declared seams were called, if the model ran.

        Raises:
            SeamError: Naming the first that was not.
        """
        served = IN_ATTENTION | IN_LAYERS  # by the engine; others by the decoding
        missing = [seam for seam in self.seams if seam in served and seam not in self.called]
        if self._ran and missing:
            raise SeamError(
                f"method {self.method.name!r}: seam {missing[0]!r} bound to nothing on "
                f"{self.model.name} ({self.model.n_layers} layers, method edits "
                f"{sorted(self._edited_layers)})"
            )


@contextmanager
def intervene(
    model: VisionLanguageModel,
    method: Method,
    memory: BatchState,
    *,
    shared: bool = False,
    touch: Touch | None = None,
) -> Iterator[Engine]:
    """Serve `method` on `model` for one batch; restore the model exactly on leaving.

    Args:
        shared: A prefix will be read for several prompts at once.
        touch: Notes whether the method edits anything.

    Raises:
        SeamError: On leaving, if a declared seam was never called.
    """
    memory.method = method.begin(memory.batch)
    engine = Engine(model, method, memory, touch)
    with ExitStack() as stack:
        _hook_passes(stack, model, engine)
        blind = bool(model.cross_attention) and not bool(memory.tokens.image_mask.any(1).all())
        if shared or blind or set(engine.seams) & IN_ATTENTION:
            stack.enter_context(switched(model, "text", EditedAttention(engine)))
        hook_residual(stack, engine)
        if method.vision_layers:
            seen = memory.vision_attention
            stack.enter_context(
                reading_cls(model, method.vision_layers, seen, lambda: engine.memory.tokens.images)
            )
        if method.attention_in_tower and "attention_weights" in engine.seams:
            stack.enter_context(switched(model, "vision", TowerAttention(engine)))
        if "weights" in engine.seams:
            stack.enter_context(scoped_weights(model, engine.call("weights", model)))
        yield engine
    if touch is not None:
        touch.batches += 1
        touch.seen |= bool({"prompt", "image_tokens", "search"} & set(engine.seams))
    engine.check_bound()


def _hook_passes(stack: ExitStack, model: VisionLanguageModel, engine: Engine) -> None:
    """Tell the engine of each pass: what the whole model reads, and when its layers run."""

    def feed(_: Any, args: Any, kwargs: Any) -> None:
        ids = kwargs.get("input_ids", args[0] if args else None)
        embeddings = kwargs.get("inputs_embeds")
        if ids is None or (embeddings is not None and embeddings.shape[1] != ids.shape[1]):
            ids = embeddings.new_zeros(embeddings.shape[:2], dtype=torch.long)
        engine.feed(ids)

    def start(_: Any, args: Any, kwargs: Any) -> None:
        candidates = (kwargs.get("inputs_embeds"), kwargs.get("input_ids"), *args)
        new = next(value for value in candidates if value is not None)
        cache = kwargs.get("past_key_values")
        engine.start_pass(new.shape[1], 0 if cache is None else int(cache.get_seq_length()))

    for module, hook in ((reader_of(model), feed), (model.decoder, start)):
        stack.callback(module.register_forward_pre_hook(hook, with_kwargs=True).remove)


def reader_of(model: VisionLanguageModel) -> Any:
    """Return the module that `generate` calls for each pass."""
    inner = getattr(model.model, "language_model", None)  # BLIP's `generate` calls that alone
    return inner if isinstance(inner, GenerationMixin) else model.model
