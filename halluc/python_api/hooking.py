"""A method on a model that somebody else's code calls: `halluc.intervene`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Any

from halluc.errors import UserError
from halluc.interventions.seams import IN_ATTENTION, IN_LAYERS
from halluc.python_api.method_given import Given

if TYPE_CHECKING:
    from types import TracebackType

    from halluc.interventions import Method
    from halluc.interventions.engine import Engine
    from halluc.models import VisionLanguageModel
    from halluc.python_api.loaded_model import LoadedModel

HOOKS = IN_ATTENTION | IN_LAYERS | {"weights", "prepare"}
"""Seams that are served wherever the model is called from."""


@contextmanager
def intervene(model: LoadedModel, method: Given, **parameters: Any) -> Iterator[None]:
    """Let a method act whenever the model of transformers is called, for the length of a `with`.

    Every pass over a prompt begins a batch: `m.model.generate(...)`, or `m.model(...)` without a
    cache or with an empty one. Passes that go on from a cache belong to the batch before. Leaving
    restores the model exactly, also after an exception.

    Args:
        model: Of `halluc.load`.
        method: As for `m.ask`; one that acts through hooks alone.
        parameters: Of the method.

    Raises:
        UserError: If the method needs more than hooks, does not fit the model, or another one
            acts already.
        SeamError: On leaving, if a seam of the method was never called.

    Examples:
        >>> import halluc
        >>> from halluc.world import render, scene
        >>> m, image = halluc.load("glyph"), render(scene("test", 0))
        >>> inputs = m.encode(image, "Is there a dog in the image?")
        >>> with halluc.intervene(m, "var", keep=0.4):
        ...     tokens = m.model.generate(**inputs, max_new_tokens=8, do_sample=False)
        >>> m.processor.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        'No'
    """
    acts = model.prepared(method, parameters)
    seams = acts.active()
    if more := [seam for seam in seams if seam not in HOOKS]:
        raise UserError(
            f"method {acts.name!r} needs more than hooks ({', '.join(more)}); "
            f"m.ask(image, prompt, method={acts.name!r}) runs it"
        )
    if model._acting:
        raise UserError(
            f"method {model._acting[0].name!r} acts already; join methods by +, as in "
            f"'{model._acting[0].name}+{acts.name}'"
        )
    server = _Server(model.here, acts)
    with ExitStack() as stack:
        stack.push(server.leave)
        server.listen(stack)
        model._acting.append(acts)
        stack.callback(model._acting.clear)
        yield


class _Server:
    """Begins a batch of the engine with every call of `generate`, or pass over a prompt."""

    def __init__(self, model: VisionLanguageModel, method: Method) -> None:
        self._model, self._method = model, method
        self._stack = ExitStack()
        self._engine: Engine | None = None
        self._generating = self._looking = False

    def listen(self, stack: ExitStack) -> None:
        """Be told of calls until a stack is closed; no class is patched.

        `generate` encodes images before the first pass, so a pass alone would be told too late.
        """
        from halluc.interventions.engine import reader_of

        whole, known = self._model.model, vars(self._model.model).get("generate")
        own = whole.generate

        @wraps(own)
        def generate(*args: Any, **kwargs: Any) -> Any:
            self._begin(args, kwargs)
            self._generating = True
            try:
                return own(*args, **kwargs)
            finally:
                self._generating = False

        whole.generate = generate
        stack.callback(_put_back, whole, known)
        reader = reader_of(self._model)
        stack.callback(reader.register_forward_pre_hook(self._pass, with_kwargs=True).remove)

    def leave(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Restore the model; check that the method acted, unless there was an error."""
        return bool(self._stack.__exit__(kind, error, trace))

    def _pass(self, _: Any, args: Any, kwargs: Any) -> None:
        cache = kwargs.get("past_key_values")
        if self._looking or (cache is not None and cache.get_seq_length()):
            return
        if not self._generating and self._begin(args, kwargs):
            assert self._engine is not None
            self._engine.feed(_ids(args, kwargs))  # its own hook comes too late for this pass
        if cache is not None:
            _follow(cache, self._engine)

    def _begin(self, args: Any, kwargs: Any) -> bool:
        """Begin a batch; return whether it is the first."""
        import torch

        from halluc.interventions import BatchState
        from halluc.interventions.engine import intervene as intervening

        ids = _ids(args, kwargs)
        if ids is None:
            raise UserError(
                f"halluc.intervene: {self._model.name!r} is called without input_ids, so its image "
                "tokens are not known; m.ask asks it"
            )
        inputs = _of_prompts(kwargs) | {"input_ids": ids}
        inputs.setdefault("attention_mask", torch.ones_like(ids))
        memory = BatchState.of_inputs(self._model, inputs)
        memory.batch = replace(memory.batch, ask=_Unasked(self._method.name))
        first = self._engine is None
        if self._engine is None:
            blind = bool(self._model.cross_attention)  # a later prompt may have no image
            served = intervening(self._model, self._method, memory, shared=blind)
            self._engine = self._stack.enter_context(served)
        else:
            self._engine.restart(memory)
        self._looking = True
        try:
            with torch.no_grad():
                self._engine.prepare(inputs)
        finally:
            self._looking = False
        return first


class _Unasked:
    """Refuses to ask the model about images, which are not known here."""

    def __init__(self, method: str) -> None:
        self._method = method

    def __call__(self, *_: Any, **__: Any) -> Any:
        """Refuse.

        Raises:
            UserError: Always.
        """
        raise UserError(
            f"method {self._method!r} needs more than hooks (it asks the model about the image); "
            f"m.ask(image, prompt, method={self._method!r}) runs it"
        )

    likelihood = __call__


def _ids(args: Any, kwargs: Any) -> Any:
    return kwargs.get("input_ids", args[0] if args else None)


def _of_prompts(kwargs: Any) -> dict[str, Any]:
    """Return what the processor made: tensors, but for positions and the like."""
    import torch

    others = ("position_ids", "cache_position", "inputs_embeds", "labels", "logits_to_keep")
    return {k: v for k, v in kwargs.items() if isinstance(v, torch.Tensor) and k not in others}


def _put_back(module: Any, known: Any) -> None:
    """Take our `generate` out again; put back the one that was set on the model before, if any."""
    del module.generate
    if known is not None:
        module.generate = known


def _follow(cache: Any, engine: Any) -> None:
    """Tell the engine of beams that change places in the cache."""
    reorder = cache.reorder_cache

    def reordered(rows: Any) -> None:
        reorder(rows)
        engine.reorder(rows)

    cache.reorder_cache = reordered
