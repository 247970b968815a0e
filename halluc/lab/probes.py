"""Methods for looking: they note what attention does, or take heads and keys out of it.

None of them is registered, since none is meant to make answers better. A probe keeps what it saw of
one batch, so each batch gets a new one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from halluc.interventions import At, Method, MethodParams
from halluc.interventions.requirements import Heads, head_mask
from halluc.models.massive import MASSIVE, root_mean_square

if TYPE_CHECKING:
    from halluc.models import VisionLanguageModel
    from halluc.types import Sample

Chosen = Mapping[str, Tensor]
"""Some of each image's tokens in their order, bool [n], n all tokens of that image."""

Kind = Literal["image", "first", "chosen", "even"]
_KINDS: tuple[Kind, ...] = ("image", "first", "chosen", "even")


def chosen_keys(at: At, names: Collection[str], chosen: Chosen) -> Tensor:
    """Mark the keys of this layer that are the chosen ones of its image tokens, bool [B, K].

    Args:
        names: Of each prompt's tokens in `chosen`.
        chosen: By name; what it counts are the prompt's image tokens.
    """
    image = at.image_mask
    rows = [chosen[name].to(image.device) for name in names for _ in range(at.repeats)]
    return at.on_keys(image.masked_scatter(image, torch.cat(rows)))


class Gaze(Method):
    """Notes where the last row of each pass looks, the one that predicts the next token.

    Args:
        chosen: By sample, image tokens of which the attention is wanted too.
    """

    name = "gaze"
    rows = "last"
    cross_attention = True
    prefix_depends_on = "nothing"

    def __init__(self, chosen: Chosen | None = None) -> None:
        super().__init__(MethodParams())
        self._chosen = chosen
        self._seen: dict[tuple[int, int], Tensor] = {}

    def attention_weights(self, at: At, weights: Tensor) -> Tensor:
        """Note shares of the last row's attention; give the weights back as they are."""
        last, image = weights[:, :, -1], at.image_columns
        marks = [image, at.first_token]
        if self._chosen is not None:
            marks.append(chosen_keys(at, at.batch.ids, self._chosen))
        shares = (last @ torch.stack(marks, -1).to(last)).unbind(-1)  # [B, H] each
        even = (image.sum(-1) / at.real.sum(-1).clamp(min=1)).to(last)
        chosen = shares[2] if self._chosen is not None else torch.full_like(shares[0], torch.nan)
        kinds = [shares[0], shares[1], chosen, even[:, None].expand_as(shares[0])]
        self._seen[at.step, at.layer] = torch.stack(kinds, -1)
        return weights

    def share(self, kind: Kind, n_layers: int) -> Tensor:
        """Return the share of attention on some keys.

        Args:
            kind: On the "image", on the prompt's "first" token, on the "chosen" image tokens; or
                what the image would get if attention were "even" over all keys.

        Returns:
            [T, B, L, H], T the passes: the first one is that over the prompt. nan in layers that
            cannot be reached.
        """
        steps = 1 + max(step for step, _ in self._seen)
        one = next(iter(self._seen.values()))
        found = one.new_full((steps, one.shape[0], n_layers, one.shape[1]), torch.nan)
        for (step, layer), shares in self._seen.items():
            found[step, :, layer] = shares[..., _KINDS.index(kind)]
        return found.cpu()


class MassiveTokens(Method):
    """Notes which tokens of prompts are massive, and how much later rows attend to them.

    Attributes:
        size: By layer, the largest |x_d| / rms(x) of each token entering it [B, L].
        attended: By layer, the mean attention of later rows to each token, in the head in which it
            is largest [B, L].
        together: By layer, the attention that rows behind the image give all massive image tokens
            together, in the head in which it is largest [B].
        image: Image tokens of the prompts, bool [B, L].

    Args:
        massive: A token is massive from this share of sqrt(D) on; |x_d| / rms(x) cannot pass
            sqrt(D), where one dimension holds everything.
    """

    name = "peaks"
    rows = "all"
    hidden_phases = ("prefill",)

    def __init__(self, massive: float = MASSIVE) -> None:
        super().__init__(MethodParams())
        self.massive = massive
        self.size: dict[int, Tensor] = {}
        self.attended: dict[int, Tensor] = {}
        self.together: dict[int, Tensor] = {}
        self.image = torch.empty(0, dtype=torch.bool)

    def hidden(self, at: At, hidden: Tensor) -> None:
        """Measure tokens by their largest dimension, next to sqrt(D)."""
        stream = hidden.float()
        relative = stream.abs().amax(-1) / root_mean_square(stream)
        self.size[at.layer] = relative / stream.shape[-1] ** 0.5
        self.image = at.image_mask

    def attention_weights(self, at: At, weights: Tensor) -> Tensor:
        """Average later rows' attention to each key; give the weights back as they are."""
        real = at.rows[:, None, :, None]
        later = (weights * real).tril(-1)  # row i may only look at keys up to i
        rows = at.rows.flip(1).cumsum(1).flip(1) - at.rows.int()  # real rows behind each
        mean = later.sum(2) / rows[:, None].clamp(min=1)
        self.attended[at.layer] = mean.amax(1)
        group = self.image & (self.size[at.layer] >= self.massive)
        behind = at.tokens.after_image[:, None].to(weights)
        onto = (weights * group[:, None, None]).sum(-1)  # [B, H, Q]
        self.together[at.layer] = ((onto * behind).sum(-1) / behind.sum(-1).clamp(min=1)).amax(1)
        return weights


class SilentHeads(Method):
    """Knocks heads out: they add nothing to the residual stream.

    Args:
        heads: By layer, those to silence.
        behind_image: Only in rows behind the image; what the image is read into stays the model's
            own, so that prompts about it go on from one prefix.
    """

    name = "silent-heads"
    cross_attention = True

    def __init__(self, heads: Heads, behind_image: bool = False) -> None:
        super().__init__(MethodParams())
        self.heads = {layer: tuple(some) for layer, some in heads.items() if some}
        self.resting = ("head_gain",) if behind_image else ("attention_weights",)
        self.prefix_depends_on = "nothing" if behind_image else "method"

    def prefix_key(self) -> Any:
        """Return the heads, where they are silent while the image is read."""
        return (
            () if self.prefix_depends_on == "nothing" else (self.name, sorted(self.heads.items()))
        )

    def layers(self, n_layers: int) -> Collection[int]:
        """Return the layers with a head to silence."""
        return sorted(self.heads)

    def head_gain(self, at: At, outputs: Tensor) -> Tensor:
        """Return 0 for the silent heads and 1 for the others [1, H]."""
        silent = head_mask(outputs, self.heads, at.layer, at.n_heads).view(1, -1)
        return (~silent).to(outputs)

    def attention_weights(self, at: At, weights: Tensor) -> Tensor:
        """Take all attention from the silent heads."""
        return weights.masked_fill(head_mask(weights, self.heads, at.layer, at.n_heads), 0.0)


class RemovedKeys(Method):
    """Removes image tokens from the keys of rows behind the image, in all layers.

    What they got of a row's attention goes to the keys that are left, in proportion.

    Args:
        removed: By image hash, the tokens to remove; not all that a row can see.
    """

    name = "removed-keys"
    prefix_depends_on = "nothing"

    def __init__(self, removed: Chosen) -> None:
        super().__init__(MethodParams())
        self.removed = removed

    def attention_logits(self, at: At, logits: Tensor) -> Tensor:
        """Put fp32's minimum at the removed keys."""
        removed = chosen_keys(at, at.batch.image_hashes, self.removed)
        return logits.masked_fill(removed[:, None, None], torch.finfo(logits.dtype).min)


def divergence_by_layer(
    model: VisionLanguageModel, samples: Sequence[Sample], size: int = 16
) -> dict[int, Tensor]:
    """Measure VHD, how far each head's output moves when the image is removed (VHR, eq. 4 and 6).

    At the position that predicts the first token of an answer.

    Args:
        samples: The prompts and images to measure on.
        size: How many are read together.

    Returns:
        By layer [samples, H], 0 where a head is extreme without the image too.
    """
    from halluc.calibration.probing import probed
    from halluc.methods._image_heads import divergence, drop_outliers

    found: dict[int, list[Tensor]] = {}
    for start in range(0, len(samples), size):
        states = probed(model, samples[start : start + size])
        for layer, outputs in states.seen.items():
            seen, unseen = (
                side.unflatten(1, (model.n_heads, -1)) for side in (outputs, states.unseen[layer])
            )
            text = unseen.norm(dim=-1).pow(2)
            found.setdefault(layer, []).append(drop_outliers(divergence(seen, unseen), text))
    return {layer: torch.cat(parts).cpu() for layer, parts in found.items()}
