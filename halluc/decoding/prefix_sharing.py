"""Prefixes that prompts about one image share, to be read once for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from halluc.models.inputs import PER_TOKEN

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions import Method
    from halluc.models import VisionLanguageModel


@dataclass(frozen=True)
class SharedPrompts:
    """Prompts split behind their last image token.

    Attributes:
        prefixes: Model inputs of the U different prefixes, left-padded.
        rest: What each prompt goes on with, left-padded [B, S], by name of the input.
        owner: The prefix that each prompt goes on from, int [B].
        image_sizes: Inputs that tell tokens' positions next to their order: sizes of each image.
    """

    prefixes: dict[str, Any]
    rest: dict[str, Tensor]
    owner: Tensor
    image_sizes: dict[str, Tensor]

    def joined(self, model: VisionLanguageModel, prefixes: dict[str, Any]) -> dict[str, Any]:
        """Join whole prompts [B, P + S], padded in front and in between, without their images.

        Args:
            prefixes: As in `self`, perhaps with fewer image tokens.
        """
        whole = {
            key: torch.cat([prefixes[key][self.owner], ending], 1)
            for key, ending in self.rest.items()
        }
        return whole | {"position_ids": positions(model, whole | self.image_sizes)}


def positions(model: VisionLanguageModel, inputs: dict[str, Any]) -> Tensor:
    """Make position ids [B, L] as the model's own `generate` does; padding may be anywhere."""
    ids: Tensor = model.model._prepare_position_ids_for_generation(
        inputs["input_ids"], dict(inputs)
    )
    return ids


def share_prefixes(
    model: VisionLanguageModel, method: Method, inputs: dict[str, Any], again: bool = False
) -> SharedPrompts | None:
    """Find what prompts begin with in common; None where nothing can be gained or shared.

    Prompts share a prefix if their tokens up to the end of the image and the images are equal,
    whichever stream of a method they belong to. A method that reads prompts in passes of its own
    (`prepare`) is given them whole, and nothing is shared.

    Args:
        again: Prefixes are used more than once even if all of them differ: by beams and by rows of
            a search, which else copy their keys at each fork, or by other runs of the prompts.
    """
    reads_whole = "prepare" in method.active()
    if method.prefix_depends_on == "question" or reads_whole or why_not_shared(model):
        return None
    image = inputs["input_ids"] == model.image_token
    real, length = inputs["attention_mask"].bool(), image.shape[1]
    start = real.int().argmax(1)
    last = length - 1 - image.flip(1).int().argmax(1)
    cut = torch.where(image.any(1), last, start) + 1  # without image the first token alone
    owner, first = _owners(model, inputs, image, start.tolist(), cut.tolist())
    longest = int((length - cut).max())
    if longest < 2 or (len(first) == len(owner) and not again):
        return None
    rows = [key for key in inputs if key in PER_TOKEN]
    ends = torch.full_like(cut, length)
    return SharedPrompts(
        prefixes=_slices(model, inputs, rows, start, cut, torch.tensor(first))
        | _images(model, inputs, image, first),
        rest=_slices(model, inputs, rows, cut, ends, torch.arange(len(owner))),
        owner=torch.tensor(owner, device=cut.device),
        image_sizes={
            key: value
            for key, value in inputs.items()
            if key not in rows and not value.is_floating_point()
        },
    )


def why_not_shared(model: VisionLanguageModel) -> str | None:
    """Return the reason why prompts of this model cannot share prefixes; None if they can."""
    text = model.model.config.get_text_config()
    kinds = set(getattr(text, "layer_types", None) or ["full_attention"])
    if kinds != {"full_attention"}:
        return f"layers of {', '.join(sorted(kinds - {'full_attention'}))} keep caches of their own"
    if getattr(text, "sliding_window", None) and getattr(text, "use_sliding_window", True):
        return "its attention has a sliding window"
    return model.family.alone or None


def _owners(
    model: VisionLanguageModel,
    inputs: dict[str, Any],
    image: Tensor,
    start: list[int],
    cut: list[int],
) -> tuple[list[int], list[int]]:
    """Return the prefix of each row, and the first row of each prefix."""
    images = iter(model.image_inputs(inputs))
    has_image = image.any(1).tolist()
    known: dict[tuple[int, ...], list[tuple[int, dict[str, Tensor]]]] = {}
    owner: list[int] = []
    first: list[int] = []
    for row, tokens in enumerate(inputs["input_ids"].tolist()):
        pixels = next(images) if has_image[row] else {}
        rivals = known.setdefault(tuple(tokens[start[row] : cut[row]]), [])
        prefix = next((u for u, other in rivals if _equal(pixels, other)), None)
        if prefix is None:
            prefix = len(first)
            rivals.append((prefix, pixels))
            first.append(row)
        owner.append(prefix)
    return owner, first


def _equal(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, right[key]) for key, value in left.items())


def _slices(
    model: VisionLanguageModel,
    inputs: dict[str, Any],
    keys: list[str],
    start: Tensor,
    end: Tensor,
    rows: Tensor,
) -> dict[str, Tensor]:
    """Cut tokens from `start` to `end` out of some rows, and left-pad them again."""
    rows = rows.to(start.device)
    start, end = start[rows], end[rows]
    width = int((end - start).max())
    source = end[:, None] - torch.arange(width, 0, -1, device=end.device)
    inside = source >= start[:, None]
    source = source.clamp(min=0)
    pad = {"input_ids": model.pad_token}
    return {
        key: inputs[key][rows].gather(1, source).masked_fill(~inside, pad.get(key, 0))
        for key in keys
    }


def _images(
    model: VisionLanguageModel, inputs: dict[str, Any], image: Tensor, rows: list[int]
) -> dict[str, Tensor]:
    """Return the inputs of some rows' images, of which each row has one at most."""
    has_image = image.any(1)
    number = (has_image.cumsum(0) - 1).tolist()
    images = model.image_inputs(inputs)
    chosen = [images[number[row]] for row in rows if bool(has_image[row])]
    keys = chosen[0] if chosen else {}
    return {key: torch.cat([pixels[key] for pixels in chosen]) for key in keys}
