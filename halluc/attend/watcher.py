"""Watchers: methods that act last, change no attention and note what each row looks at."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import sqrt
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from halluc.interventions import At, Method
from halluc.methods._sinks import TAU, published_sinks, sink_tokens
from halluc.models.massive import MASSIVE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from halluc.models import VisionLanguageModel

_CLOSE = 1e-2
_TOGETHER = 8
"""Tokens whose hidden states are read off at once."""


class Lens(NamedTuple):
    """A logit lens on the T tokens of an answer.

    Attributes:
        rank: Of each token, from 1, in the logits read off each hidden state, and at last in what
            the method makes of them [T, layers + 2].
        probability: Likewise.
        fits: Whether what is read off the last hidden state is what the method is given; where
            there is none, this tells whether the model's logits can be read off at all.
    """

    rank: NDArray[np.float32]
    probability: NDArray[np.float32]
    fits: bool


class Watcher(Method):
    """Feeds the tokens of an answer one by one, and notes the row that predicts each of them.

    It stands behind the method it watches, so it sees weights as the layer uses them, and the
    prompt's residual stream as the layer reads it. A watcher serves one answer.

    Args:
        answer: The tokens that are chosen, whatever the logits say; T of them.
        layers: Those whose attention is kept.
        config: The model's configuration; it says in which dimensions tokens are massive.

    Attributes:
        kept: The patches that are left of the image, int [1, n]; None if none was dropped.
        image_mask, first, ids: Of the prompt's n tokens without padding, [n] each.
    """

    name = "watcher"
    rows: Literal["after_image", "last", "all"] = "last"
    filters = True
    prefix_depends_on = "nothing"

    def __init__(
        self, answer: Sequence[int] = (), layers: Collection[int] = (), config: Any = None
    ) -> None:
        super().__init__(self.Params())
        self.answer, self._layers, self._config = list(answer), sorted(layers), config
        self.kept: Tensor | None = None
        self.image_mask: Tensor | None = None
        self.first: Tensor | None = None
        self.ids: Tensor | None = None
        self._padding = 0
        self._rows: dict[tuple[int, int], Tensor] = {}
        self._sinks: dict[int, Tensor] = {}
        self._streams: dict[tuple[int, int], Tensor] = {}
        self._made: list[Tensor] = []

    def layers(self, n_layers: int) -> Collection[int]:
        """Return all layers, and what leaves the last."""
        return range(n_layers + 1)

    def hidden(self, at: At, hidden: Tensor) -> None:
        """Note each layer's last row, and which tokens of the prompt enter it massive."""
        self._streams[at.step, at.layer] = hidden[0, -1].clone()
        if at.phase == "decode":
            return
        ids = self._note_prompt(at, at.tokens.attention_mask[0].bool())
        if at.layer in self._layers:
            self._sinks[at.layer] = massive(hidden[0, -len(ids) :], self._config)

    def _note_prompt(self, at: At, real: Tensor) -> Tensor:
        """Note the prompt's n tokens at the first call, and return their ids, int [n].

        Args:
            real: Those of the prompt among the tokens that are read, bool [L].
        """
        if self.ids is None:
            self._padding = int((~at.tokens.attention_mask[0].bool()).sum())
            self.image_mask = at.tokens.image_mask[0, real]
            self.first = at.model.first_token({"attention_mask": real[None]})[0, real]
            self.ids = at.tokens.input_ids[0, real]
        return self.ids

    def attention_weights(self, at: At, weights: Tensor) -> Tensor:
        """Note the main stream's last row, over all tokens so far [H, n + step]."""
        from torch.nn.functional import pad

        if at.layer in self._layers:
            row = weights[0, :, -1]
            if at.n_keys < at.n_tokens:  # the others left a sliding window
                row = pad(row, (at.n_tokens - at.n_keys, 0))
            self._rows[at.step, at.layer] = row[:, self._padding :].clone()
        return weights

    def next_token_logits(self, at: At, logits: Mapping[str, Tensor]) -> Tensor:
        """Note what the method makes of the logits, and choose the next token of the answer."""
        import torch

        made, forbidden = logits["main"], at.forbidden.tokens
        row = made[0] if forbidden is None else made[0].masked_fill(forbidden[0], -torch.inf)
        self._made.append(row)
        at.forbidden.tokens = None
        chosen = torch.zeros_like(made)
        chosen[:, self.answer[at.step]] = 1.0
        return chosen

    def attention(self, n_heads: int) -> NDArray[np.float32]:
        """Return the attention of each token's row [T, layers, H, n + T - 1].

        A key that was not there yet has 0; a layer that cannot be reached is nan.
        """
        import numpy as np

        tokens = len(self.answer)
        keys = (0 if self.ids is None else len(self.ids)) + tokens - 1
        found = np.full((tokens, len(self._layers), n_heads, keys), np.nan, np.float32)
        for (step, layer), row in self._rows.items():
            place = found[step, self._layers.index(layer)]
            place[:] = 0
            place[:, : row.shape[1]] = row.float().cpu().numpy()
        return found

    def sinks(self) -> NDArray[np.bool_]:
        """Return which tokens of the prompt are sinks, bool [layers, n]."""
        import numpy as np

        return np.stack([self._sinks[layer].cpu().numpy() for layer in self._layers])

    def lens(self, model: VisionLanguageModel) -> Lens:
        """Read each token's rank and probability off every hidden state, as `at.early` does."""
        import torch

        layers, found = range(model.n_layers + 1), []
        fits = torch.tensor(True)
        for start in range(0, len(self.answer), _TOGETHER):
            steps = range(start, min(start + _TOGETHER, len(self.answer)))
            streams = [self._streams[step, layer] for step in steps for layer in layers]
            with torch.inference_mode():
                early = model.read_off(torch.stack(streams)).float()
            early = early.unflatten(0, (len(steps), len(layers)))
            made = torch.stack([self._made[step] for step in steps])
            if start == 0:
                close = torch.isclose(early[0, -1], made[0], atol=_CLOSE, rtol=_CLOSE)
                fits = (close | made[0].isinf()).all()
            rows = torch.cat([early, made[:, None]], 1)
            wanted = torch.tensor(self.answer[start : steps.stop], device=rows.device)
            own = rows.gather(2, wanted[:, None, None].expand(-1, rows.shape[1], 1))
            chance = (own[..., 0] - rows.logsumexp(2)).exp()
            found.append(torch.stack([1.0 + (rows > own).sum(2), chance], 1))
        both = torch.cat(found).cpu().numpy()
        return Lens(both[:, 0], both[:, 1], bool(fits))


class WatcherOfAll(Watcher):
    """A watcher of the model alone, which is fed the whole answer in one pass.

    Without a method all rows are what they are token by token, for a fraction of the cost.
    """

    rows = "all"

    def hidden(self, at: At, hidden: Tensor) -> None:
        """Note the rows that predict the answer's tokens, and the prompt's massive tokens."""
        for step, row in enumerate(hidden[0, -len(self.answer) :]):
            self._streams[step, at.layer] = row
        later = len(self.answer) - 1
        real = at.tokens.attention_mask[0].bool()
        real[len(real) - later :] = False
        self._note_prompt(at, real)
        if at.layer in self._layers:
            self._sinks[at.layer] = massive(hidden[0, real], self._config)

    def attention_weights(self, at: At, weights: Tensor) -> Tensor:
        """Note those rows, over all tokens up to each of them."""
        if at.layer in self._layers:
            for step in range(len(self.answer)):
                row = weights[0, :, step - len(self.answer), self._padding :]
                self._rows[step, at.layer] = row.clone()
        return weights

    def note_logits(self, logits: Tensor) -> None:
        """Note what the model makes of the rows [T, V]."""
        self._made = list(logits.float())


class WatcherOfPatches(Watcher):
    """A watcher next to a method that drops image tokens, which notes the patches that stay."""

    def __init__(
        self, answer: Sequence[int] = (), layers: Collection[int] = (), config: Any = None
    ) -> None:
        super().__init__(answer, layers, config)
        self._images = 0

    def image_tokens(self, at: At, hidden: Tensor) -> Tensor:
        """Note which patches of the first image are left; change none."""
        self._images += at.layer == 0
        if self._images == 1:  # streams may encode others behind it
            self.kept = at.tower.state.get("kept")
        return hidden


def massive(hidden: Tensor, config: Any) -> Tensor:
    """Mark tokens with massive activations, bool [n].

    VAR's rule, |x_d| / rms(x) above 20, in the dimensions that are published for the language
    model; for others in any dimension, above `MASSIVE` of the most there can be, sqrt(D).

    Args:
        hidden: The residual stream entering a layer [n, D].
        config: The model's configuration.
    """
    dims = published_sinks(config)
    width = hidden.shape[-1]
    if dims is None:
        return sink_tokens(hidden, tuple(range(width)), MASSIVE * sqrt(width))
    return sink_tokens(hidden, dims, TAU)
