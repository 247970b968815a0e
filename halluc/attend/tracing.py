"""Trace an answer: what each of its tokens looked at, with the baseline and with a method.

    found = trace(model, image, "Please describe this image.", method)

The answer is asked for as everywhere else, without anybody looking, and then fed again token by
token to the model with a watcher next to the method: so tracing can change no answer. A token's row
is the one that predicts it, whose query is the token before. A method that rewrites prompts or
thins out the image is given the prompt as it makes it; one that searches chooses the answer, and is
then fed it with its other seams; one that revises is traced on its draft.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from halluc.attend.geometry import Places, places
from halluc.attend.key_shares import key_kinds, shares
from halluc.attend.watcher import Lens, Watcher, WatcherOfAll, WatcherOfPatches
from halluc.attend.words import Word, words_of
from halluc.config import DecodingConfig
from halluc.errors import UserError
from halluc.interventions import no_method
from halluc.interventions.compose import joined

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from halluc.interventions import Batch, Method
    from halluc.models import VisionLanguageModel

    Array = NDArray[np.float64]

_NOT_FED = ("prompt", "search", "revise", "confidence")
"""Seams that are done with, or have nothing to do, once the tokens of an answer are given."""
_OF_ONE_STEP = DecodingConfig()


@dataclass(frozen=True)
class Seen:
    """What the rows of an answer looked at, with one method.

    Attributes:
        method: Its name.
        tokens: Ids of the answer's T tokens, the end token included where it was chosen.
        words: The words they make.
        prompt: Ids of the prompt's n tokens, as the language model read them.
        image: Image tokens among them, bool [n].
        first: The first of them, bool [n].
        sinks: Tokens with massive activations, bool [L, n].
        attention: Weights as the layer used them [T, L, H, n + T - 1]; 0 at keys that were not
            there yet, nan in layers whose attention cannot be reached.
        lens: The logit lens; None of a model whose logits cannot be read off earlier layers.
        places: Of its image tokens; None where the method drops some of an image of several tiles.
    """

    method: str
    tokens: list[int]
    words: list[Word]
    prompt: list[int]
    image: NDArray[np.bool_]
    first: NDArray[np.bool_]
    sinks: NDArray[np.bool_]
    attention: NDArray[np.float32]
    lens: Lens | None
    places: Places | None

    def of_words(self) -> NDArray[np.float32]:
        """Average the attention of each word's tokens [words, L, H, K]."""
        import numpy as np

        rows = [self.attention[word.start : word.stop].mean(0) for word in self.words]
        return np.stack(rows) if rows else self.attention[:0]

    def shares(self) -> Array:
        """Divide each word's attention among `KINDS` of keys [words, L, H, kinds]."""
        kinds = key_kinds(self.image, self.first, self.sinks, len(self.tokens) - 1)
        return shares(self.of_words(), kinds)


@dataclass(frozen=True)
class Trace:
    """An answer, and what the model looked at in it.

    Attributes:
        model: Its name.
        image: The image.
        prompt: The user's turn.
        given: Whether the answer was given, not asked for.
        layers: The L layers whose attention is kept.
        baseline: The baseline, fed the answer: its own, or the one that was given.
        method: The method, fed the same tokens; None without a method.
        own: The method, fed its own answer, where that is another; else None.
    """

    model: str
    image: Image
    prompt: str
    given: bool
    layers: tuple[int, ...]
    baseline: Seen
    method: Seen | None = None
    own: Seen | None = None

    @property
    def seen(self) -> list[Seen]:
        """Everything that was seen: the baseline's, the method's, the method's own answer's."""
        return [seen for seen in (self.baseline, self.method, self.own) if seen is not None]


def trace(
    model: VisionLanguageModel,
    image: Image,
    prompt: str,
    method: Method | None = None,
    answer: str | None = None,
    max_new_tokens: int = 64,
    layers: Sequence[int] | None = None,
) -> Trace:
    """Answer a prompt greedily, and note what each token of the answer looked at.

    Args:
        method: Prepared for the model. It is fed the baseline's answer, so that rows of the same
            tokens can be compared; where its own answer differs, that is traced, too.
        answer: Text to trace in place of the model's own answer, for baseline and method alike.
        max_new_tokens: Where answers are cut.
        layers: Those whose attention is kept; all by default.

    Raises:
        UserError: If the model's image tokens have no place in the image, a layer does not exist,
            or the answer has no tokens or some that the model never writes.
    """
    from halluc.decoding.whole_batch import batch_of_questions

    batch = batch_of_questions([prompt], [image])
    found = look(model, batch, answer, max_new_tokens, layers)
    return found if method is None else compared(model, batch, found, method, None, max_new_tokens)


def look(
    model: VisionLanguageModel,
    batch: Batch,
    answer: str | None = None,
    max_new_tokens: int = 64,
    layers: Sequence[int] | None = None,
) -> Trace:
    """Trace a prompt's answer with the baseline; see `trace`.

    Args:
        batch: One prompt about one image, not encoded yet.
        answer: Text to trace; the model's own greedy answer by default.
    """
    chosen = _layers(model, layers)
    plain = _encoded(model, None, batch)
    where = places(model, batch.images[0], plain.inputs)
    given = None if answer is None else _tokens_of(model, answer)
    tokens = given or _answer(model, None, plain, max_new_tokens)
    watch = _watch_at_once if _reads_at_once(model, tokens) else _watch
    baseline = watch(model, None, plain, tokens, chosen, where)
    return Trace(model.name, batch.images[0], batch.prompts[0], given is not None, chosen, baseline)


def compared(
    model: VisionLanguageModel,
    batch: Batch,
    found: Trace,
    method: Method,
    own: str | None = None,
    max_new_tokens: int = 64,
) -> Trace:
    """Trace a method on the tokens of the baseline's trace, and on its own answer; see `trace`.

    Args:
        batch: What `found` is about.
        own: The method's answer, where it is known. It is asked for where neither it nor the
            baseline's answer was given.
    """
    acting = _encoded(model, method, batch)
    baseline, layers = found.baseline, found.layers
    where = places(model, found.image, _encoded(model, None, batch).inputs)
    readable = baseline.lens is not None
    same = _watch(model, method, acting, baseline.tokens, layers, where, readable)
    theirs = baseline.tokens
    if own is not None:
        theirs = _tokens_of(model, own)
    elif not found.given:
        theirs = _answer(model, method, acting, max_new_tokens)
    if theirs == baseline.tokens:
        return replace(found, method=same, own=None)
    seen = _watch(model, method, acting, theirs, layers, where, readable)
    return replace(found, method=same, own=seen)


def _layers(model: VisionLanguageModel, wanted: Sequence[int] | None) -> tuple[int, ...]:
    layers = tuple(range(model.n_layers)) if wanted is None else tuple(sorted(set(wanted)))
    for layer in layers:
        if not 0 <= layer < model.n_layers:
            raise UserError(
                f"there is no layer {layer}; {model.name!r} has layers 0 to {model.n_layers - 1}"
            )
    if not set(layers) & set(model.self_attention):
        raise UserError(
            f"attention of {model.name!r} cannot be reached in layers "
            f"{', '.join(map(str, layers))}; it can in "
            f"{', '.join(map(str, sorted(model.self_attention)))}"
        )
    return layers


def _encoded(model: VisionLanguageModel, method: Method | None, batch: Batch) -> Batch:
    """Encode the prompt as the method rewrites it."""
    from halluc.decoding.asking_again import AskingAgain
    from halluc.decoding.batch_encoding import encoded

    if method is not None and "prompt" in method.declared():
        batch = method.prompt(batch)
    batch = encoded(model, batch)
    return replace(batch, ask=AskingAgain(model, batch))


def _tokens_of(model: VisionLanguageModel, answer: str) -> list[int]:
    model.refuse_image_token(answer)
    tokens: list[int] = model.processor.tokenizer.encode(answer.strip(), add_special_tokens=False)
    if not tokens:
        raise UserError("the answer to trace is empty; give at least a word")
    return tokens


def _answer(
    model: VisionLanguageModel, method: Method | None, batch: Batch, max_new_tokens: int
) -> list[int]:
    """Ask for an answer as every run does, with nobody looking."""
    from halluc.decoding.generation import generate, lengths

    made = generate(
        model, method or no_method(), batch, _OF_ONE_STEP, max_new_tokens=max_new_tokens
    )
    tokens: list[int] = made.tokens[0, : int(lengths(made.tokens, model)[0])].tolist()
    return tokens


def _watch(
    model: VisionLanguageModel,
    method: Method | None,
    batch: Batch,
    tokens: list[int],
    layers: Sequence[int],
    where: Places,
    readable: bool = True,
) -> Seen:
    """Feed an answer to the model, with the method and a watcher behind it."""
    from halluc.decoding.generation import generate

    drops = method is not None and "image_tokens" in method.declared()
    kind = WatcherOfPatches if drops else Watcher
    watcher = kind(tokens, layers, model.model.config)
    whole = watcher if method is None else joined([method, watcher], without=_NOT_FED)
    made = generate(model, whole, batch, _OF_ONE_STEP, max_new_tokens=len(tokens), share=False)
    written: list[int] = made.tokens[0].tolist()
    tokenizer: Any = model.processor.tokenizer
    if written[: len(tokens)] != tokens:
        raise UserError(
            f"{model.name!r} never writes {tokenizer.decode(tokens[len(written) - 1])!r}, "
            "or ends there; leave it out of the answer"
        )
    return _seen(model, method, watcher, tokens, layers, where, readable)


def _reads_at_once(model: VisionLanguageModel, tokens: Sequence[int]) -> bool:
    """Return whether nothing but the answer's tokens decides its rows: no token is ruled out."""
    ruled_out = ("bad_words_ids", "suppress_tokens", "begin_suppress_tokens")
    known: Any = model.model.generation_config
    return not any(getattr(known, name, None) for name in ruled_out) and not (
        set(tokens[:-1]) & set(model.end_tokens)
    )


def _watch_at_once(
    model: VisionLanguageModel,
    method: None,
    batch: Batch,
    tokens: list[int],
    layers: Sequence[int],
    where: Places,
) -> Seen:
    """Feed a whole answer to the model in one pass, with a watcher and no method."""
    import torch

    from halluc.interventions import BatchState
    from halluc.interventions.engine import intervene
    from halluc.models.embed_prompt import forwarded

    watcher = WatcherOfAll(tokens, layers, model.model.config)
    answer = torch.tensor(tokens[:-1], dtype=torch.long, device=model.device)
    inputs = model.continued(batch.inputs, answer)
    memory = BatchState.of_inputs(model, inputs, batch)
    with torch.inference_mode(), intervene(model, watcher, memory):
        taken = forwarded(model, inputs)
        made = model.model(**taken, use_cache=False, logits_to_keep=len(tokens))
    watcher.note_logits(made.logits[0, -len(tokens) :])
    return _seen(model, method, watcher, tokens, layers, where)


def _seen(
    model: VisionLanguageModel,
    method: Method | None,
    watcher: Watcher,
    tokens: list[int],
    layers: Sequence[int],
    where: Places,
    readable: bool = True,
) -> Seen:
    """Gather what a watcher noted."""
    assert watcher.ids is not None and watcher.image_mask is not None and watcher.first is not None
    lens = watcher.lens(model) if readable else None
    if method is None and lens is not None and not lens.fits:
        lens = None
    return Seen(
        method="baseline" if method is None else method.name,
        tokens=tokens,
        words=words_of(tokens, model.processor.tokenizer),
        prompt=watcher.ids.tolist(),
        image=watcher.image_mask.cpu().numpy(),
        first=watcher.first.cpu().numpy(),
        sinks=watcher.sinks(),
        attention=watcher.attention(model.n_heads),
        lens=lens,
        places=where if watcher.kept is None else where.only(watcher.kept),
    )
