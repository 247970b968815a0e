"""VTI (ICLR 2025, arXiv 2410.15778): visual and textual intervention.

Facts and sources: notes/vti.md. `paper` adds the direction to a layer's output, `official_code`
turns the MLP's output towards it and keeps its norm.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from tests.references import plain_loop, states
from tests.references.plain_loop import Inputs

Variant = Literal["paper", "official_code"]


def vti(
    model: Any,
    inputs: Inputs,
    *,
    n_tokens: int = 12,
    text: Tensor | None = None,
    vision: Tensor | None = None,
    alpha_text: float = 0.9,
    alpha_image: float = 0.9,
    variant: Variant = "official_code",
) -> tuple[list[int], Tensor]:
    """Decode greedily with both towers steered; tokens and logits [T, V].

    Args:
        text: a direction for each decoder layer, [L, D].
        vision: one for each layer and token of the vision tower, [Lv, T, D] or [Lv, 1, D].
    """
    with plain_loop.eager(model), torch.no_grad(), ExitStack() as stack:
        if vision is not None:
            layers = states.tower_layers(model)
            stack.enter_context(steered(layers, vision, alpha_image, variant))
        if text is not None:
            layers = plain_loop.layers(model)
            stack.enter_context(steered(layers, text[:, None], alpha_text, variant))
        return plain_loop.greedy(
            model, lambda tokens: plain_loop.next_logits(model, inputs, tokens), n_tokens
        )


@contextmanager
def steered(
    layers: nn.ModuleList, directions: Tensor, alpha: float, variant: Variant
) -> Iterator[None]:
    """Every token of every pass, prompt and image included, is moved in each layer."""
    assert len(layers) == len(directions)
    with ExitStack() as stack:
        for layer, direction in zip(layers, directions, strict=True):
            if variant == "paper":
                # Eq.: h_{l,t} <- h_{l,t} + alpha d_{l,t}, on the layer's output
                added = alpha * normalize(direction, dim=-1)
                edit = plain_loop.output_edited(layer, partial(torch.add, added))
            else:
                # code: x <- |x| unit(unit(x) + 0.1 alpha unit(d)), on the MLP's output
                edit = plain_loop.output_edited(
                    layer.mlp,  # type: ignore[arg-type]
                    partial(turned, direction=direction, alpha=alpha),
                )
            stack.enter_context(edit)
        yield


def turned(x: Tensor, direction: Tensor, alpha: float) -> Tensor:
    """`x` turned towards a direction by 0.1 alpha, its length kept."""
    towards = normalize(x, dim=-1) + 0.1 * alpha * normalize(direction, dim=-1)
    found: Tensor = normalize(towards, dim=-1) * x.norm(dim=-1, keepdim=True)
    return found


def text_directions(
    model: Any, pairs: Sequence[tuple[Inputs, Inputs]], *, variant: Variant = "official_code"
) -> Tensor:
    """Directions [L, D] from (correct, hallucinated): prompt, image and caption, encoded.

    The caption ends the input: its last token is read.
    """
    normed = variant == "official_code"
    # Delta_i = h(correct) - h(hallucinated), last token, all layers
    shifts = torch.stack(
        [
            states.decoder_states(model, correct, last_normed=normed)[:, -1]
            - states.decoder_states(model, wrong, last_normed=normed)[:, -1]
            for correct, wrong in pairs
        ]
    )  # [N, L + 1, D]
    if variant == "paper":
        # d_l = first principal direction of Delta_{1..N, l}
        return principal(shifts.transpose(0, 1))[1:]
    # code: one component over all layers at once, with the embeddings; plus the mean
    return component_and_mean(shifts.flatten(1)).view(shifts.shape[1:])[1:]


def vision_directions(
    model: Any,
    images: Sequence[tuple[Inputs, Sequence[Inputs]]],
    *,
    variant: Variant = "official_code",
) -> Tensor:
    """Directions [Lv, T, D] from (image, masked copies of it); all images of one size."""
    # Delta_i = mean over the masked copies of h(copy) - h(image), all layers and tokens
    shifts = torch.stack(
        [
            torch.stack([states.tower_states(model, copy) for copy in copies]).mean(0)
            - states.tower_states(model, image)
            for image, copies in images
        ]
    )  # [N, Lv + 1, T, D]
    _, depth, length, width = shifts.shape
    if variant == "paper":
        # d_{l,t} = first principal direction of Delta_{1..N, l, t}
        return principal(shifts.permute(1, 2, 0, 3))[1:]
    # code: [Lv + 1, T, D] is reshaped, not transposed, to [T, (Lv + 1) D]: a row holds Lv + 1
    # neighbours of the flat (layer, token) list. A component for each row, plus the mean.
    rows = shifts.reshape(len(images), length, depth * width)
    fitted = torch.stack([component_and_mean(rows[:, i]) for i in range(length)])
    return fitted.reshape(depth, length, width)[1:]


def principal(shifts: Tensor) -> Tensor:
    """The first right singular vector [..., D] of [..., N, D], pointing as the mean does."""
    found: Tensor = torch.linalg.svd(shifts, full_matrices=False).Vh[..., 0, :]
    sign = (found * shifts.mean(-2)).sum(-1, keepdim=True).sign()
    return found * sign


def component_and_mean(shifts: Tensor) -> Tensor:
    """The mean [F] of [N, F] plus the unit first component about that mean.

    The component's sign: the row farthest along it lies on the positive side.
    """
    mean = shifts.mean(0)
    u, _, vh = torch.linalg.svd(shifts - mean, full_matrices=False)
    component: Tensor = vh[0] * u[u[:, 0].abs().argmax(), 0].sign()
    return mean + component


def masked(model: Any, inputs: Inputs, patches: Tensor) -> dict[str, Any]:
    """The inputs with these patches set to the mean colour of the (normalised) picture."""
    pixels = inputs["pixel_values"].clone()
    if pixels.dim() == 4:  # [1, C, H, W]
        size = model.config.vision_config.patch_size
        mean = pixels.mean((2, 3), keepdim=True)
        for patch in patches.tolist():
            top, left = (size * at for at in divmod(patch, pixels.shape[3] // size))
            pixels[:, :, top : top + size, left : left + size] = mean
    else:  # [patches, C * frames * H * W]
        channels = pixels.view(len(pixels), model.config.vision_config.in_channels, -1)
        channels[patches] = channels.mean((0, 2))[:, None]
    return dict(inputs) | {"pixel_values": pixels}


def masked_copies(
    model: Any, inputs: Inputs, *, copies: int = 50, ratio: float = 0.99, seed: int = 0
) -> list[dict[str, Any]]:
    """Copies with a random `ratio` of the patches masked."""
    draw = torch.Generator().manual_seed(seed)
    pixels = inputs["pixel_values"]
    size = model.config.vision_config.patch_size
    count = len(pixels) if pixels.dim() == 2 else pixels[0, 0].numel() // size**2
    orders = [torch.randperm(count, generator=draw) for _ in range(copies)]
    return [masked(model, inputs, order[: int(ratio * count)]) for order in orders]
