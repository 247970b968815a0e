"""Arguments of seams: the batch that is answered, and the place in a model and a pass."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

from halluc.models.tokens import PromptTokens, first_token, on_keys

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from halluc.interventions.shared_prefix import Prefix
    from halluc.models import VisionLanguageModel

Phase = Literal["prefix", "prefill", "decode"]

MAIN = "main"
"""The name of the stream of the prompts themselves."""


class Ask(Protocol):
    """Asks the model, without any method, about images of a batch; passes are counted."""

    def __call__(
        self,
        questions: Sequence[tuple[int, str]],
        max_new_tokens: int = 16,
        temperature: float | None = None,
    ) -> list[str]:
        """Ask questions, each the row whose image it is about and the prompt; return the replies.

        Args:
            max_new_tokens: Where each reply is cut.
            temperature: Draw replies at this temperature; None replies greedily. What is drawn
                depends on the run's seed, the sample and how often it was asked before.
        """

    def likelihood(self, replies: Sequence[tuple[int, str, str, str]]) -> list[float]:
        """Return the log-probabilities of what could be said, in one pass each.

        Args:
            replies: Each the row whose image it is about, the prompt, how the reply begins, and
                how it goes on: log p(going on | image, prompt, beginning), summed over tokens.
        """


class Nobody:
    """Refuses to answer, where no model answers the batch."""

    def __call__(self, *_: Any, **__: Any) -> list[str]:
        """Refuse.

        Raises:
            ValueError: Always.
        """
        raise ValueError("batch.ask exists in `streams`, `revise` and `confidence` only")

    likelihood: Any = __call__


@dataclass(frozen=True)
class Batch:
    """Prompts that are answered together.

    Attributes:
        ids: The samples' [B].
        prompts: The users' turns as text, without chat template [B].
        images: One for each prompt.
        image_hashes: Of the images' pixels as the benchmark gave them [B].
        histories: Earlier turns of each conversation, (prompt, answer) each [B].
        seed: The run's.
        rendered: The prompts in the model's chat template; empty before they are encoded.
        inputs: The main stream's model inputs; empty before they are encoded.
        ask: Asks the model again about these images, in `streams`, `revise` and `confidence`.

    Examples:
        >>> import halluc
        >>> @halluc.method("politely")
        ... class Politely(halluc.Method):
        ...     def prompt(self, batch):
        ...         print(batch.size, batch.prompts)
        ...         return batch
        >>> from halluc.world import render, scene
        >>> m = halluc.load("glyph")
        >>> reply = m.ask(render(scene("test", 0)), "Is there a dog in the image?", Politely)
        1 ['Is there a dog in the image?']
    """

    ids: Sequence[str]
    prompts: Sequence[str]
    images: Sequence[Image]
    image_hashes: Sequence[str]
    histories: Sequence[tuple[tuple[str, str], ...]]
    seed: int = 0
    rendered: Sequence[str] = ()
    inputs: Mapping[str, Any] = field(default_factory=dict)
    ask: Ask = field(default_factory=Nobody, repr=False, compare=False)

    @property
    def size(self) -> int:
        """B, the number of prompts."""
        return len(self.ids)

    @property
    def seeds(self) -> list[int]:
        """One seed a sample, from its id and the run's: its noise does not depend on the batch."""
        return [seed_of(self.seed, name) for name in self.ids]

    @property
    def image_seeds(self) -> list[int]:
        """One seed an image, from its pixels and the run's: the same for all its prompts."""
        return [seed_of(self.seed, name) for name in self.image_hashes]


def seed_of(seed: int, name: str) -> int:
    """Make a generator's seed of the run's seed and a name."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return int.from_bytes(digest[:7], "big")


@dataclass(frozen=True)
class TowerLayer:
    """One layer of the vision tower, as `image_tokens` sees it.

    Attributes:
        features: Index of the layer whose output the language model reads.
        attention: The CLS token's attention to all tokens, each head [N, H, 1 + P].
        values: The layer's value vectors [N, H, 1 + P, d].
        state: The method's memory of these images, an empty dictionary at the first layer. Its
            entry "kept" numbers the original patches that remain, int [N, P'] (a merged token
            goes by one of its patches); `keep` writes it.
    """

    features: int
    attention: Tensor
    values: Tensor
    state: dict[str, Any]

    def keep(self, hidden: Tensor, patches: Tensor) -> Tensor:
        """Keep the CLS token and some patches of a layer's output, and note them in the state.

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
class BatchState:
    """Memory of one batch, gone once it is answered.

    Attributes:
        batch: The prompts that are answered.
        tokens: Its rows as the language model reads them: streams below each other, the main one
            first, of B rows each. In phase "prefix" the different prefixes instead.
        streams: Their names.
        method: The method's own state, made by `Method.begin`.
        remembered: By layer, what `hidden` asked to remember of each token, [rows, L, ...].
        vision_attention: The vision tower's attention from its CLS token, filled in while images
            are encoded: layer index (negative from the end) to [n, H] for each image, n its
            image tokens.
        prefix: What the prompts begin with, where it was read for several at once.
        generated: Tokens fed back so far, int [rows, step].
        greedy: Whether the likeliest token is taken at each step, neither drawn nor by beams.
    """

    batch: Batch
    tokens: PromptTokens
    streams: tuple[str, ...] = (MAIN,)
    method: Any = None
    remembered: dict[int, Any] = field(default_factory=dict)
    vision_attention: dict[int, list[Tensor]] = field(default_factory=dict)
    prefix: Prefix | None = None
    generated: Tensor | None = None
    greedy: bool = True

    @classmethod
    def of_inputs(
        cls,
        model: VisionLanguageModel,
        inputs: Mapping[str, Any],
        batch: Batch | None = None,
        streams: tuple[str, ...] = (MAIN,),
    ) -> BatchState:
        """Start on model inputs of all streams below each other.

        Args:
            batch: The batch they were made of; None where seams need no more than the tokens.
        """
        tokens = model.prompt_tokens(inputs)
        size = tokens.size // len(streams)
        ids, nothing = [str(row) for row in range(size)], [""] * size
        batch = batch or Batch(ids, nothing, [], nothing, [()] * size, inputs=inputs)
        return cls(batch, tokens, streams)

    def of_part(self, part: int, layer: int) -> BatchState:
        """Return the memory of one part of a composite, in one layer."""
        facts = self.remembered.get(layer)
        remembered = {} if facts is None else {layer: facts[part]}
        return replace(self, method=self.method[part], remembered=remembered)


@dataclass
class Forbidden:
    """Tokens that a method rules out in a step; `At` is frozen, and its copies share one.

    Attributes:
        tokens: bool [B, V]; None if there are none.
    """

    tokens: Tensor | None = None


@dataclass(frozen=True)
class At:
    """Place at which a seam is called: batch, pass, layer, rows.

    R below is the number of query rows handed to an attention seam: those from the first one any
    sample edits to the last. B counts beams and streams, which stand in the order: streams below
    each other, in each the samples, and the beams of a sample next to each other.

    Attributes:
        model: The model.
        memory: The batch and what is remembered of it; `batch`, `state` and others read it.
        phase: "prefix" while the prefix of several prompts is read, "prefill" while a prompt or
            the rest of it is, "decode" for every generated token.
        layer: 0-based index among the language model's layers, or the vision tower's where `part`
            is "vision". `hidden` is also called with `n_layers`: what leaves the last layer.
        n_layers: Number of layers.
        n_heads: H, query heads of each.
        rows: Query rows the method edits, bool [B, R]; rows that are False come back unchanged.
        n_keys: K, keys of this layer in this pass.
        n_tokens: Tokens read so far; a layer with a sliding window sees only the last K of them.
        crosses: True where the keys are the image alone and no tokens of the prompt.
        repeats: How often each prompt stands in the batch, as many times as there are beams.
        part: "vision" in the vision tower, where rows are images or tiles and not prompts.
        owners: Finds the row of the batch whose image each row of the tower belongs to, int [N];
            only seams in the vision tower have it. Serves `stream` and `prompts` there.
        visible: Keys each row may attend to, bool [B or 1, R, K]; only `attention_logits` and
            `attention_weights` have it.
        attends: Serves `attend`, in the same seams.
        tower_layer: Data of the tower's layer for `tower`; only `image_tokens` has it.
        logits_at: Serves `early`; only `next_token_logits` has it.
        forbidden: What `forbid` ruled out; parts of a composite share it.
        known: Masks made in this pass, which its layers share.

    Examples:
        >>> import halluc
        >>> from halluc.world import render, scene
        >>> @halluc.method("watch")
        ... class Watch(halluc.Method):
        ...     def layers(self, n_layers):
        ...         return [n_layers - 1]
        ...     def attention_bias(self, at):
        ...         print(at.phase, at.layer, int(at.image_columns.sum()))
        ...         return 0.0 * at.image_columns[:, None, None, :].float()
        >>> m = halluc.load("glyph")
        >>> reply = m.ask(render(scene("test", 0)), "Is there a dog in the image?", Watch)
        prefill 5 64
        decode 5 64
    """

    model: VisionLanguageModel = field(repr=False)
    memory: BatchState = field(repr=False)
    phase: Phase
    layer: int
    n_layers: int
    n_heads: int
    rows: Tensor
    n_keys: int
    n_tokens: int
    crosses: bool = False
    repeats: int = 1
    part: Literal["text", "vision"] = "text"
    owners: Callable[[], Tensor | None] | None = field(default=None, repr=False)
    visible: Tensor | None = None
    attends: Callable[[Tensor], Tensor] | None = field(default=None, repr=False)
    tower_layer: TowerLayer | None = None
    logits_at: Callable[[int, bool], Mapping[str, Tensor]] | None = field(default=None, repr=False)
    forbidden: Forbidden = field(default_factory=Forbidden, repr=False)
    known: dict[Any, Tensor] = field(default_factory=dict, repr=False)

    @property
    def batch(self) -> Batch:
        """The batch that is answered."""
        return self.memory.batch

    @property
    def tokens(self) -> PromptTokens:
        """The prompts' tokens; in phase "prefix" those of the prefixes."""
        return self.memory.tokens

    @property
    def state(self) -> Any:
        """The method's own memory of this batch."""
        return self.memory.method

    @property
    def tower(self) -> TowerLayer:
        """The vision tower's layer, in `image_tokens`.

        Raises:
            ValueError: In any other seam.
        """
        if self.tower_layer is None:
            raise ValueError("at.tower exists in image_tokens only")
        return self.tower_layer

    @property
    def prefill(self) -> bool:
        """True while the prompt is read, or its prefix."""
        return self.phase != "decode"

    @property
    def generated(self) -> Tensor:
        """Tokens generated and fed back so far, int [B, step]; under beams those of each beam."""
        before = self.memory.generated
        if before is None:
            return self.tokens.input_ids.new_zeros(self.tokens.size * self.repeats, 0)
        return before

    @property
    def step(self) -> int:
        """Number of tokens generated so far; 0 while the prompt is read."""
        return 0 if self.memory.generated is None else int(self.memory.generated.shape[1])

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the streams that are decoded together, "main" first."""
        return self.memory.streams

    @property
    def stream(self) -> Tensor:
        """Number of the stream of each row, int [B]; all of the main one in phase "prefix"."""
        import torch

        if self.part == "vision":
            return self._owned // self.batch.size
        rows = self.tokens.size * self.repeats
        count = 1 if self.phase == "prefix" else len(self.streams)
        numbers = torch.arange(count, device=self.tokens.input_ids.device)
        return numbers.repeat_interleave(rows // count)

    @property
    def prompts(self) -> Tensor:
        """Number of the prompt of each row, int [B]; in the vision tower of the one it shows."""
        import torch

        size = self.batch.size
        if self.part == "vision":
            return self._owned % size
        rows = torch.arange(self.tokens.size, device=self.tokens.input_ids.device) % size
        return self._for_beams(rows)

    @property
    def _owned(self) -> Tensor:
        owned = self.owners() if self.owners is not None else None
        if owned is None:
            raise ValueError("rows of this vision tower are not one image's each")
        return owned

    @property
    def image_columns(self) -> Tensor:
        """Keys of THIS layer that are image tokens, bool [B, K]."""

        def make() -> Tensor:
            image = self.tokens.image_mask
            return self._for_beams(
                self.model.image_columns(self.layer, self.n_keys, image, self.n_tokens)
            )

        return self._once("image", make)

    @property
    def real(self) -> Tensor:
        """Keys of this layer that are not padding, bool [B, K]."""
        return self._once("real", lambda: ~self.on_keys(~self.tokens.attention_mask.bool()))

    @property
    def first_token(self) -> Tensor:
        """The prompt's first token among the keys of this layer, bool [B, K].

        A row is all False where that token left the sliding window.
        """
        real = self.tokens.attention_mask.bool
        return self._once("first", lambda: self.on_keys(first_token(real())))

    @property
    def image_mask(self) -> Tensor:
        """The prompt's image tokens, bool [B, L]."""
        return self._for_beams(self.tokens.image_mask)

    @property
    def remembered(self) -> Any:
        """Facts about the prompt's tokens that `remember` kept in this layer, [B, L, ...]."""
        return self.memory.remembered[self.layer]

    def remember(self, facts: Any) -> None:
        """Keep facts about the tokens of this pass; `remembered` returns them.

        They survive prefix sharing: those of a shared prefix are joined with those of the rest.

        Args:
            facts: [B, Q, ...] of the tokens `hidden` is shown, before anything is generated.

        Raises:
            ValueError: In phase "decode".
        """
        if self.phase == "decode":
            raise ValueError("remember() is for the prompt's tokens; keep others in `at.state`")
        prefix = self.memory.prefix
        joined = facts
        if prefix is not None:
            joined = prefix.repeated(self.repeats).joined(self.layer, facts)
        self.memory.remembered[self.layer] = joined

    def early(self, layer: int, normed: bool = True) -> Mapping[str, Tensor]:
        """Read next-token logits off the residual stream that leaves layer `layer` - 1.

        Args:
            layer: As in transformers' `hidden_states`: 0 is the embedding. It has to be among
                `Method.early_layers`.
            normed: Apply the final norm first.

        Returns:
            lm_head(norm(h)) in fp32 [B, V] of each stream, by its name.

        Raises:
            ValueError: Outside `next_token_logits`, or of a layer that was not declared.
        """
        if self.logits_at is None:
            raise ValueError("early() exists in next_token_logits only")
        return self.logits_at(layer, normed)

    def attend(self, weights: Tensor) -> Tensor:
        """Attend by other weights than those handed back, next to the model's own attention.

        Args:
            weights: [B, H, R, K], of the rows that the seam is given.

        Returns:
            The heads' outputs, before o_proj [B, R, H, d].

        Raises:
            ValueError: Outside `attention_logits` and `attention_weights`.
        """
        if self.attends is None:
            raise ValueError("attend() exists where attention is edited only")
        return self.attends(weights)

    def forbid(self, tokens: Tensor) -> None:
        """Rule tokens out, bool [B, V], once the probabilities of yes and no are read.

        Where parts of a composite together would forbid all tokens of a row, the last call of a
        part counts alone.
        """
        earlier = self.forbidden.tokens
        if earlier is not None:
            both = earlier | tokens
            tokens = tokens.where(both.all(-1, keepdim=True), both)
        self.forbidden.tokens = tokens

    def on_keys(self, values: Tensor) -> Tensor:
        """Lay values of the prompt's tokens [B or prompts, ..., L] over the keys [B, ..., K].

        Keys that are not tokens of the prompt get 0 or False.
        """
        values = self._for_beams(values)
        if self.crosses:
            return values.new_zeros(*values.shape[:-1], self.n_keys)
        return on_keys(values, self.n_keys, self.n_tokens)

    def of_prompt(self, values: Tensor) -> Tensor:
        """Take values of this layer's keys [..., K] back to the prompt's tokens [..., L].

        Tokens that left the window get 0 or False.
        """
        whole = values.new_zeros(*values.shape[:-1], self.n_tokens)
        whole[..., self.n_tokens - self.n_keys :] = values
        return whole[..., : self.tokens.input_ids.shape[1]]

    def _once(self, name: str, make: Callable[[], Tensor]) -> Tensor:
        """Make a mask once a pass, for all layers with as many keys of the same kind."""
        key = name, self.crosses, self.n_keys
        if key not in self.known:
            self.known[key] = make()
        return self.known[key]

    def _for_beams(self, values: Tensor) -> Tensor:
        """Repeat rows of prompts for beams, which stand next to each other."""
        repeats = self.tokens.size * self.repeats // values.shape[0]
        return values if repeats == 1 else values.repeat_interleave(repeats, 0)
