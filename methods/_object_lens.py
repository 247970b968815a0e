"""Objects through the logit lens: how sure image tokens are of them, and how they are erased."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from halluc.methods._named_objects import Vocabulary

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions import At
    from halluc.models import VisionLanguageModel

_AT_ONCE = 256
"""Image tokens whose logits are in memory at once."""


def spellings(tokenizer: Any, name: str) -> list[int]:
    """List the tokens of an object's name, at the beginning of a text and behind a space."""
    texts = (name, f" {name}")
    ids = {one for text in texts for one in tokenizer(text, add_special_tokens=False).input_ids}
    return sorted(ids - {one for one in ids if not tokenizer.decode([one]).strip()})


def confidence(logits: Tensor, tokens: Sequence[int], top_k: int | None) -> Tensor:
    """Give the largest chance that any image token has of any of an object's tokens.

    max over tokens m of softmax(W h(m)) (algorithms.py:94-96), of the likeliest tokens alone as
    llava_utils.py:152-160 does.

    Args:
        logits: Read off image tokens [N, V].
        tokens: The object's.
        top_k: How many of the likeliest have a chance; None for all.
    """
    if top_k is not None and top_k < logits.shape[-1]:
        least = logits.topk(top_k).values[:, -1:]
        logits = logits.masked_fill(logits < least, -float("inf"))
    return logits.softmax(-1)[:, list(tokens)].amax()


def erased(states: Tensor, texts: Sequence[Tensor], weight: float) -> Tensor:
    """Subtract x's projection on each text, one after the other, where it points its way.

    x <- x - alpha max(0, x.t / t.t) t (algorithms.py:18-47).

    Args:
        states: Image tokens x [N, D].
        texts: Texts t [D] each.
        weight: alpha.
    """
    x = states.float()
    for text in (one.to(x) for one in texts):
        share = (x @ text) / (text @ text)
        x = x - weight * share.clamp(min=0)[:, None] * text
    return x.to(states)


def text_states(model: VisionLanguageModel, names: Sequence[str], layer: int) -> list[Tensor]:
    """Read what names, each alone without an image, put in their last token: fp32 [D] each.

    Args:
        layer: As in transformers' `hidden_states`, not the last.
    """
    import torch

    ids = [model.processor.tokenizer(name).input_ids for name in names]
    found: dict[int, Tensor] = {}
    kept: list[Tensor] = []

    def keep(_: Any, args: Any, kwargs: Any) -> None:
        kept.append((args[0] if args else kwargs["hidden_states"])[:, -1].float())

    handle = model.layers[layer].register_forward_pre_hook(keep, with_kwargs=True)
    try:
        for length in sorted({len(one) for one in ids}):  # of one length, so that none is padded
            rows = [row for row, one in enumerate(ids) if len(one) == length]
            tokens = torch.tensor([ids[row] for row in rows], device=model.device)
            with torch.no_grad():  # the language model alone: some models cannot do without images
                model.decoder(
                    input_ids=tokens, attention_mask=torch.ones_like(tokens), use_cache=False
                )
            found |= dict(zip(rows, kept[-1], strict=True))
    finally:
        handle.remove()
    return [found[row] for row in range(len(names))]


class Objects:
    """Objects that drafts may name, with what a model has for each.

    Args:
        names: Their categories.

    Attributes:
        tokens: By name, its tokens; names without any are left out.
        texts: By name, the state of its text, fp32 [D].
    """

    def __init__(self, names: Collection[str]) -> None:
        self._names = names
        self._vocabulary = Vocabulary(names)
        self.tokens: dict[str, list[int]] = {}
        self.texts: dict[str, Tensor] = {}

    def load(self, model: VisionLanguageModel, layer: int) -> None:
        """Read tokens and texts, the latter where they enter a layer."""
        tokenizer = model.processor.tokenizer
        self.tokens = {name: ids for name in self._names if (ids := spellings(tokenizer, name))}
        found = text_states(model, list(self.tokens), layer)
        self.texts = dict(zip(self.tokens, found, strict=True))

    def named(self, text: str) -> list[str]:
        """List the objects that a text names."""
        return [name for name in self._vocabulary.named(text) if name in self.tokens]

    def look(
        self,
        at: At,
        hidden: Tensor,
        named: Sequence[Sequence[str]],
        sure: dict[int, dict[str, float]],
        top_k: int | None,
    ) -> None:
        """See how sure a layer's image tokens are of objects; keep the most of all layers.

        The last layer's states are normed first, as transformers' `hidden_states` are.

        Args:
            hidden: [B, Q, D].
            named: The objects that are looked for, by prompt.
            sure: By row and object; what is found is written into it.
        """
        normed = at.layer == at.n_layers
        for row, image in enumerate(at.image_mask):
            names = named[row % len(named)]
            for some in hidden[row, image].split(_AT_ONCE) if names else ():
                logits = at.model.read_off(some, normed).float()
                for name in names if len(some) else ():
                    found = float(confidence(logits, self.tokens[name], top_k))
                    before = sure.setdefault(row, {})
                    before[name] = max(found, before.get(name, 0.0))
