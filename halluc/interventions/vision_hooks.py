"""Hooks in the vision tower: they read its CLS token's attention, and thin out its tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from halluc.interventions.attention_switch import kernel_of, switched
from halluc.interventions.context import At, BatchState, TowerLayer
from halluc.interventions.shared_prefix import Attention

if TYPE_CHECKING:
    from halluc.interventions.base import Method
    from halluc.models import VisionLanguageModel


@contextmanager
def reading_cls(
    model: VisionLanguageModel,
    layers: tuple[int, ...],
    recorded: Attention,
    images: Callable[[], Mapping[str, Tensor]],
) -> Iterator[None]:
    """Record the CLS token's attention to the patches in some layers of the vision tower.

    Args:
        layers: Indices, negative ones from the end.
        recorded: Filled: by layer, the attention [n, H] that each image's n tokens get.
        images: Returns the inputs that belong to the images now being encoded.
    """
    modules = model.tower.attention_modules
    wanted = {id(modules[layer]): layer for layer in layers}
    kernel = model.attention_of("vision")

    def attend(
        module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Any, **kwargs: Any
    ) -> Any:
        if (layer := wanted.get(id(module))) is not None:
            attention = _cls_attention(query, key, kwargs)[:, :, 1:].transpose(1, 2)
            recorded[layer] = model.tower.lay_out(attention, None, images())
        return kernel_of(kernel, module)(module, query, key, value, mask, **kwargs)

    with switched(model, "vision", attend):
        yield


@contextmanager
def thinning(
    model: VisionLanguageModel,
    method: Method,
    memory: BatchState,
    recorded: Attention,
    images: Mapping[str, Tensor],
) -> Iterator[None]:
    """Let the method's `image_tokens` drop or merge patches behind each layer of the vision tower.

    Args:
        method: Its `image_tokens` is given each layer's output [N, 1 + P, D], CLS first, and gives
            [N, 1 + P', D]; N counts images or tiles.
        memory: The batch, without tokens of a prompt yet.
        recorded: Filled as by `reading_cls` for the layers whose attention the method reads, of
            the tokens that are left: by layer, [n, H] an image, n its image tokens that are left.
        images: The inputs that belong to the images, as `Inputs` describes them.
    """
    modules = model.tower.attention_modules
    layer_of = {id(module): i for i, module in enumerate(modules)}
    wanted = {layer % len(modules): layer for layer in method.vision_layers}
    kernel = model.attention_of("vision")
    state: dict[str, Any] = {}
    seen: dict[int, tuple[Tensor, Tensor]] = {}
    read: dict[int, tuple[Tensor, Tensor | None]] = {}  # attention, and the patches it is about

    def attend(
        module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Any, **kwargs: Any
    ) -> Any:
        layer = layer_of[id(module)]
        if layer == 0:
            state.clear()
        attention = _cls_attention(query, key, kwargs)
        seen[layer] = attention, value
        if layer in wanted:
            read[wanted[layer]] = attention[:, :, 1:], state.get("kept")
        return kernel_of(kernel, module)(module, query, key, value, mask, **kwargs)

    def thin(layer: int, output: Any) -> Any:
        attention, values = seen.pop(layer)
        hidden = output[0] if isinstance(output, tuple) else output
        rows = torch.ones(hidden.shape[:2], dtype=torch.bool, device=hidden.device)
        at = At(
            model=model,
            memory=memory,
            phase="prefill",
            layer=layer,
            n_layers=len(modules),
            n_heads=attention.shape[1],
            rows=rows,
            n_keys=hidden.shape[1],
            n_tokens=hidden.shape[1],
            part="vision",
            tower_layer=TowerLayer(model.tower.features, attention, values, state),
        )
        thinned = method.image_tokens(at, hidden)
        return (thinned, *output[1:]) if isinstance(output, tuple) else thinned

    with switched(model, "vision", attend), ExitStack() as stack:
        for layer, module in enumerate(model.tower.layers):
            # In front: transformers' own hooks, which stay once set, record the hidden states.
            handle = module.register_forward_hook(
                lambda _m, _i, output, layer=layer: thin(layer, output), prepend=True
            )
            stack.callback(handle.remove)
        if model.tower.packs:  # the model lays out whole tiles; gaps are taken out again later
            handle = model.tower.projector.register_forward_hook(
                lambda _m, _i, output: model.tower.spread(output, state.get("kept"))
            )
            stack.callback(handle.remove)
        yield
    kept = state.get("kept")
    for name, (attention, before) in read.items():
        left = _among(attention, before, kept).transpose(1, 2)
        recorded[name] = model.tower.lay_out(left, kept, images)


def _among(attention: Tensor, before: Tensor | None, kept: Tensor | None) -> Tensor:
    """Pick CLS attention [N, H, P] over patches numbered `before` for those in `kept` [N, P']."""
    if kept is None:
        return attention
    heads = attention.shape[1]
    if before is not None:
        whole = attention.new_zeros(*attention.shape[:2], int(before.max()) + 1)
        attention = whole.scatter(2, before[:, None].expand(-1, heads, -1), attention)
    return attention.gather(2, kept[:, None].expand(-1, heads, -1))


def _cls_attention(query: Tensor, key: Tensor, kwargs: dict[str, Any]) -> Tensor:
    """Compute the first token's attention weights, fp32 [N, H, 1 + P]."""
    scaling = kwargs.get("scaling") or query.shape[-1] ** -0.5
    logits = query[:, :, :1].float() @ key.float().transpose(2, 3) * scaling
    weights: Tensor = logits.softmax(-1)[:, :, 0]
    return weights
