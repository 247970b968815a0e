"""Where in a model, and in which forward pass, a seam is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from halluc.interventions.shared_prefix import Prefix
    from halluc.models import VisionLanguageModel


def on_keys(values: Tensor, n_keys: int, n_tokens: int) -> Tensor:
    """Values of a prompt's tokens, for the keys of a layer.

    Args:
        values: [..., L]; tokens behind the prompt get 0 or False.
        n_keys: K, keys the layer sees; the last ones, if fewer than tokens (a sliding window).
        n_tokens: Tokens read so far, at least L and K.

    Returns:
        [..., K].
    """
    grown = values.new_zeros(*values.shape[:-1], n_tokens)
    grown[..., : values.shape[-1]] = values
    return grown[..., n_tokens - n_keys :]


def first_token(real: Tensor) -> Tensor:
    """The first token of each row that is not padding, bool [B, L], of those that are not."""
    found: Tensor = real & (real.cumsum(1) == 1)
    return found


@dataclass(frozen=True)
class Asked:
    """What was asked, before it became tensors.

    Attributes:
        questions: The users' turns as text, without chat template [B].
        rendered: The same in the chat template.
        images: One for each question.
        inputs: The main stream's model inputs.
    """

    questions: Sequence[str]
    rendered: Sequence[str]
    images: Sequence[Image]
    inputs: dict[str, Any]


@dataclass(frozen=True)
class VisionSite:
    """One layer of the vision tower, as `tokens` sees it.

    Attributes:
        layer: 0-based index among the tower's layers.
        n_layers: How many there are.
        features: Index of the layer whose output the language model reads.
        attention: The CLS token's attention to all tokens, each head [N, H, 1 + P].
        values: The layer's value vectors [N, H, 1 + P, d].
        state: The method's memory of these images, an empty dictionary at the first layer. Its
            entry "kept" numbers the original patches that remain, int [N, P'] (a merged token
            goes by one of its patches); `keep` writes it.
    """

    layer: int
    n_layers: int
    features: int
    attention: Tensor
    values: Tensor
    state: dict[str, Any]

    def keep(self, hidden: Tensor, patches: Tensor) -> Tensor:
        """The CLS token and some patches of a layer's output, noted in the state.

        Args:
            hidden: [N, 1 + P, D].
            patches: Which of the P stay, ascending, int [N, P'].

        Returns:
            [N, 1 + P', D].
        """
        before = self.state.get("kept")
        self.state["kept"] = patches if before is None else before.gather(1, patches)
        index = patches.new_zeros(len(patches), 1 + patches.shape[1])
        index[:, 1:] = patches + 1
        return hidden.gather(1, index[:, :, None].expand(-1, -1, hidden.shape[-1]))


@dataclass
class Prompted:
    """A batch of prompts as the language model reads it, and what a method remembers of it.

    Attributes:
        input_ids: Token ids, left-padded [B, L].
        attention_mask: True at real tokens [B, L].
        image_mask: True at image tokens [B, L].
        images: The inputs that belong to images, in the order of their rows.
        vision_attention: The vision tower's attention from its CLS token, filled in while images
            are encoded: layer index (negative from the end) to [n, H] for each image, n its
            image tokens.
        n_streams: Copies of the batch below each other, the main one first: S of B rows each.
        prefix: What the prompts begin with, if it was read beforehand for several at once.
        observed: By layer, what `observe` remembers of each token, [B, L, ...].
        state: The method's own memory, made by `Method.begin`; gone with the batch.
    """

    input_ids: Tensor
    attention_mask: Tensor
    image_mask: Tensor
    images: Mapping[str, Tensor] = field(default_factory=dict)
    vision_attention: dict[int, list[Tensor]] = field(default_factory=dict)
    n_streams: int = 1
    prefix: Prefix | None = None
    observed: dict[int, Any] = field(default_factory=dict)
    state: Any = None

    @cached_property
    def after_image(self) -> Tensor:
        """True at real tokens behind the last image token, and at all real ones without image."""
        behind: Tensor = self.image_mask.flip(1).cumsum(1).flip(1) == 0
        return behind & self.attention_mask.bool()

    @cached_property
    def first_after_image(self) -> int:
        """The first position that is behind the image for some prompt."""
        return int(self.after_image.int().argmax(1).min())

    @property
    def size(self) -> int:
        """Number of rows: prompts times streams."""
        return int(self.input_ids.shape[0])


@dataclass(frozen=True)
class Site:
    """One attention layer in one forward pass, as a seam sees it.

    R below is the number of query rows handed to the seam: those from the first one any sample
    edits to the last. B counts beams.

    Attributes:
        layer: 0-based index among the language model's layers.
        n_layers: How many there are.
        n_heads: H, query heads of each.
        prefill: True while the prompt is read, False for every generated token.
        rows: Query rows the method edits, bool [B, R]; rows that are False come back unchanged.
        n_keys: K, keys of this layer in this pass.
        n_tokens: Tokens read so far; a layer with a sliding window sees only the last K of them.
        crosses: True where the keys are the image alone and no tokens of the prompt.
        repeats: How often each prompt stands in the batch, as many times as there are beams.
        prompted: The batch, with the method's state.
        model: The model.
        visible: Keys each row may attend to, bool [B or 1, R, K]; only `scores` and `weights`
            have it.
        known: Masks made in this pass, which its layers share.
    """

    layer: int
    n_layers: int
    n_heads: int
    prefill: bool
    rows: Tensor
    n_keys: int
    n_tokens: int
    crosses: bool
    repeats: int
    prompted: Prompted
    model: VisionLanguageModel = field(repr=False)
    visible: Tensor | None = None
    known: dict[Any, Tensor] = field(default_factory=dict, repr=False)

    @property
    def image_columns(self) -> Tensor:
        """Keys of THIS layer that are image tokens, bool [B, K]."""

        def own() -> Tensor:
            image = self.prompted.image_mask
            return self._for_beams(
                self.model.image_columns(self.layer, self.n_keys, image, self.n_tokens)
            )

        return self._once("image", own)

    @property
    def real(self) -> Tensor:
        """Keys of this layer that are not padding, bool [B, K]."""
        return self._once("real", lambda: ~self.on_keys(~self.prompted.attention_mask.bool()))

    @property
    def first_token(self) -> Tensor:
        """The prompt's first token among the keys of this layer, bool [B, K].

        All False where it left the window.
        """
        real = self.prompted.attention_mask.bool
        return self._once("first", lambda: self.on_keys(first_token(real())))

    @property
    def image_mask(self) -> Tensor:
        """The prompt's image tokens, bool [B, L]."""
        return self._for_beams(self.prompted.image_mask)

    @property
    def state(self) -> Any:
        """The method's own memory of this batch."""
        return self.prompted.state

    @property
    def observed(self) -> Any:
        """What `observe` remembers of the prompt's tokens in this layer, [B, L, ...]."""
        return self.prompted.observed[self.layer]

    def on_keys(self, values: Tensor) -> Tensor:
        """Values of the prompt's tokens [B or prompts, ..., L] for this layer's keys [B, ..., K].

        Keys that are no tokens of the prompt get 0 or False.
        """
        values = self._for_beams(values)
        if self.crosses:
            return values.new_zeros(*values.shape[:-1], self.n_keys)
        return on_keys(values, self.n_keys, self.n_tokens)

    def of_prompt(self, values: Tensor) -> Tensor:
        """Values of this layer's keys [..., K] for the prompt's tokens [..., L].

        Tokens that left the window get 0 or False.
        """
        whole = values.new_zeros(*values.shape[:-1], self.n_tokens)
        whole[..., self.n_tokens - self.n_keys :] = values
        return whole[..., : self.prompted.input_ids.shape[1]]

    def _once(self, name: str, make: Callable[[], Tensor]) -> Tensor:
        """What layers with as many keys of the same kind share in a pass."""
        key = name, self.crosses, self.n_keys
        if key not in self.known:
            self.known[key] = make()
        return self.known[key]

    def _for_beams(self, values: Tensor) -> Tensor:
        """Rows of prompts repeated for beams, which stand next to each other."""
        repeats = self.prompted.size * self.repeats // values.shape[0]
        return values if repeats == 1 else values.repeat_interleave(repeats, 0)
