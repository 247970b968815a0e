"""What methods read from the vision tower, and how they thin out its tokens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from halluc.interventions.site import VisionSite
from halluc.interventions.switch import kernel_of, switched

if TYPE_CHECKING:
    from halluc.interventions.method import Method
    from halluc.models import VisionLanguageModel


@contextmanager
def reading_cls(
    model: VisionLanguageModel, layers: tuple[int, ...], found: dict[int, Tensor]
) -> Iterator[None]:
    """Record the CLS token's attention to the patches in some layers of the vision tower.

    Args:
        layers: Indices, negative ones from the end.
        found: Filled with a layer's index to [images, H, patches].
    """
    modules = model.vision_attention_modules
    wanted = {id(modules[layer]): layer for layer in layers}
    kernel = model.attention_of("vision")

    def attend(
        module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Any, **kwargs: Any
    ) -> Any:
        if (layer := wanted.get(id(module))) is not None:
            found[layer] = _cls_attention(query, key, kwargs)[:, :, 1:]
        return kernel_of(kernel, module)(module, query, key, value, mask, **kwargs)

    with switched(model, "vision", attend):
        yield


@contextmanager
def thinning(
    model: VisionLanguageModel, method: Method, found: dict[int, Tensor]
) -> Iterator[None]:
    """Let the method's `tokens` drop or merge patches behind each layer of the vision tower.

    Args:
        found: What `reading_cls` records meanwhile; on leaving, cut to the tokens that are left.
    """
    modules = model.vision_attention_modules
    layer_of = {id(module): i for i, module in enumerate(modules)}
    kernel = model.attention_of("vision")
    state: dict[str, Any] = {}
    seen: dict[int, tuple[Tensor, Tensor]] = {}
    features = model.vision_feature_layer
    kept: dict[int, Tensor] = {}  # patches that entered each layer, where some were gone

    def attend(
        module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Any, **kwargs: Any
    ) -> Any:
        layer = layer_of[id(module)]
        if layer == 0:
            state.clear()
        elif "kept" in state:
            kept[layer] = state["kept"]
        seen[layer] = _cls_attention(query, key, kwargs), value
        return kernel_of(kernel, module)(module, query, key, value, mask, **kwargs)

    def thin(layer: int, output: Any) -> Any:
        attention, values = seen.pop(layer)
        site = VisionSite(layer, len(modules), features, attention, values, state)
        if isinstance(output, tuple):
            return (method.tokens(site, output[0]), *output[1:])
        return method.tokens(site, output)

    with switched(model, "vision", attend), ExitStack() as stack:
        for layer, module in enumerate(model.vision_layers):
            # In front: transformers' own hooks, which stay once set, record the hidden states.
            handle = module.register_forward_hook(
                lambda _m, _i, output, layer=layer: thin(layer, output), prepend=True
            )
            stack.callback(handle.remove)
        yield
    if "kept" in state:
        for layer, attention in found.items():
            before = kept.get(layer % len(modules))
            found[layer] = _among(attention, before, state["kept"])


def _among(attention: Tensor, before: Tensor | None, kept: Tensor) -> Tensor:
    """CLS attention [N, H, P] over the patches numbered `before`, for those in `kept` [N, P']."""
    heads = attention.shape[1]
    if before is not None:
        whole = attention.new_zeros(*attention.shape[:2], int(before.max()) + 1)
        attention = whole.scatter(2, before[:, None].expand(-1, heads, -1), attention)
    return attention.gather(2, kept[:, None].expand(-1, heads, -1))


def _cls_attention(query: Tensor, key: Tensor, kwargs: dict[str, Any]) -> Tensor:
    """The first token's attention weights, fp32 [N, H, 1 + P]."""
    scaling = kwargs.get("scaling") or query.shape[-1] ** -0.5
    scores = query[:, :, :1].float() @ key.float().transpose(2, 3) * scaling
    weights: Tensor = scores.softmax(-1)[:, :, 0]
    return weights
