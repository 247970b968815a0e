"""Promises of the engine for every model, as checks of a loaded one.

A check is a function of the model and of two questions about two images. It says whether the
promise is kept, and what was measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch

from halluc.config import DecodingConfig
from halluc.decoding.batch_encoding import encoded
from halluc.decoding.generation import generate
from halluc.decoding.whole_batch import batch_of_questions
from halluc.doctor.probes import Identity, LooksAway, NoSeam
from halluc.interventions import Batch, BatchState
from halluc.interventions.engine import intervene

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image
    from torch import Tensor

    from halluc.interventions import Method
    from halluc.models import VisionLanguageModel

# Largest difference of logits that is taken for rounding, as a share of the largest logit.
_ROUNDING = {
    torch.float64: 1e-9,
    torch.float32: 1e-4,
    torch.float16: 1e-2,
    torch.bfloat16: 5e-2,
}
_NEW_TOKENS = 6


@dataclass(frozen=True)
class Check:
    """Check of a promise, and what came of it.

    Attributes:
        status: "skipped" where the check means nothing for this model.
        measured: Numbers, or the reason, in words.
    """

    status: Literal["kept", "broken", "skipped"]
    measured: str

    @classmethod
    def of(cls, kept: bool, measured: str) -> Check:
        """Say of a promise that it is kept or broken."""
        return cls("kept" if kept else "broken", measured)


Promise = Callable[["VisionLanguageModel", Batch], Check]


def probe(model: VisionLanguageModel, questions: Sequence[str], images: Sequence[Image]) -> Batch:
    """Encode questions as a batch; they should differ in length, so that one is padded."""
    return encoded(model, batch_of_questions(questions, images))


def check(promise: Promise, model: VisionLanguageModel, batch: Batch) -> Check:
    """Check a promise; one that cannot even be checked is broken."""
    try:
        return promise(model, batch)
    except Exception as error:  # whatever a model does that was not made for this
        return Check("broken", f"{type(error).__name__}: {error}".splitlines()[0])


def untouched(model: VisionLanguageModel, batch: Batch) -> Check:
    """Check that a method without seams changes no bit."""
    stock, found = _logits(model, batch.inputs), _logits(model, batch.inputs, NoSeam)
    return _same(found, stock, bound=0.0)


def identity(model: VisionLanguageModel, batch: Batch) -> Check:
    """Check that seams that change nothing give the stock logits."""
    stock, found = _logits(model, batch.inputs), _logits(model, batch.inputs, Identity)
    return _same(found, stock, _bound(model, stock))


def reach(model: VisionLanguageModel, batch: Batch) -> Check:
    """Check that hiding the image changes every row's logits: seams bind where the image is."""
    stock, found = _logits(model, batch.inputs), _logits(model, batch.inputs, LooksAway)
    moved = float((found - stock).abs().amax(1).min())
    bound = _bound(model, stock)
    return Check.of(moved > bound, f"{moved:.1g}, rounding is {bound:.1g}")


def restore(model: VisionLanguageModel, batch: Batch) -> Check:
    """Check that leaving restores the model exactly, also after an exception."""
    before, attention = _logits(model, batch.inputs), _attention(model)
    hooks = model.n_hooks
    _logits(model, batch.inputs, LooksAway)
    try:
        with intervene(model, _made(LooksAway), BatchState.of_inputs(model, batch.inputs)):
            raise _Interrupted
    except _Interrupted:
        pass
    if _attention(model) != attention:
        return Check.of(False, f"attention is {_attention(model)}, was {attention}")
    if model.n_hooks != hooks:
        return Check.of(False, f"{model.n_hooks} hooks, were {hooks}")
    return _same(_logits(model, batch.inputs), before, bound=0.0)


def padding(model: VisionLanguageModel, batch: Batch) -> Check:
    """Check that a left-padded batch gives the logits of its prompts alone."""
    return _batch_equals_single(model, batch, NoSeam)


def batches(model: VisionLanguageModel, batch: Batch) -> Check:
    """Check that an edit does in a batch what it does to a prompt alone."""
    return _batch_equals_single(model, batch, LooksAway)


def columns(model: VisionLanguageModel, batch: Batch) -> Check:
    """Check that each prompt has as many image tokens as the vision tower gives features."""
    counts, width = [], model.model.config.get_text_config().hidden_size
    for single in _singles(model, batch):
        tokens = int(model.n_image_tokens(single).sum())
        with torch.no_grad():
            numbers = sum(image.numel() for image in model.encode_images(single).pooler_output)
        counts.append((tokens, numbers // width))
    kept = all(tokens == features > 0 for tokens, features in counts)
    words = (f"{tokens} tokens, {features} features" for tokens, features in counts)
    return Check.of(kept, "; ".join(dict.fromkeys(words)))


def greedy(model: VisionLanguageModel, batch: Batch) -> Check:
    """Check that greedy decoding under the identity gives the stock tokens."""
    return _same_tokens(model, batch, beams=1)


def beams(model: VisionLanguageModel, batch: Batch) -> Check:
    """Check that three beams under the identity give the stock tokens."""
    return _same_tokens(model, batch, beams=3)


PROMISES: dict[str, Promise] = {
    "no seam changes nothing": untouched,
    "identity gives stock logits": identity,
    "an edit is felt": reach,
    "leaving restores the model": restore,
    "left padding changes nothing": padding,
    "batches change no edit": batches,
    "image tokens match features": columns,
    "greedy decoding is stock": greedy,
    "three beams are stock": beams,
}


class _Interrupted(Exception):
    pass


def _made(cls: type[Method]) -> Method:
    return cls(cls.Params())


def _logits(
    model: VisionLanguageModel, inputs: Mapping[str, Any], cls: type[Method] | None = None
) -> Tensor:
    """Return logits behind the last token, fp32 [B, V]; without a method those of the model."""
    with torch.no_grad():
        if cls is None:
            return _forward(model, inputs)
        with intervene(model, _made(cls), BatchState.of_inputs(model, inputs)):
            return _forward(model, inputs)


def _forward(model: VisionLanguageModel, inputs: Mapping[str, Any]) -> Tensor:
    logits: Tensor = model.model(**inputs, logits_to_keep=1).logits
    return logits[:, -1].float()


def _tokens(
    model: VisionLanguageModel, batch: Batch, cls: type[Method], beams: int
) -> list[list[int]]:
    decoding = DecodingConfig(num_beams=beams)
    made = generate(model, _made(cls), batch, decoding, max_new_tokens=_NEW_TOKENS)
    tokens: list[list[int]] = made.tokens.tolist()
    return tokens


def _singles(model: VisionLanguageModel, batch: Batch) -> list[dict[str, Any]]:
    pairs = zip(batch.rendered, batch.images, strict=True)
    return [model.encode([rendered], [image]) for rendered, image in pairs]


def _bound(model: VisionLanguageModel, logits: Tensor) -> float:
    """Bound the rounding of logits; quantised models round in eight bits or fewer."""
    quantised = getattr(model.model, "is_quantized", False)
    share = _ROUNDING[torch.bfloat16 if quantised else model.model.dtype]
    return share * max(1.0, float(logits.abs().max()))


def _same(found: Tensor, wanted: Tensor, bound: float) -> Check:
    difference = float((found - wanted).abs().max())
    kept = difference <= bound  # False for not-a-number
    return Check.of(kept, f"largest difference {difference:.1g}, allowed {bound:.1g}")


def _batch_equals_single(model: VisionLanguageModel, batch: Batch, cls: type[Method]) -> Check:
    together = _logits(model, batch.inputs, cls)
    alone = torch.cat([_logits(model, single, cls) for single in _singles(model, batch)])
    return _same(together, alone, _bound(model, alone))


def _same_tokens(model: VisionLanguageModel, batch: Batch, beams: int) -> Check:
    if model.model.dtype not in (torch.float32, torch.float64):
        return Check("skipped", f"rounding of {model.model.dtype} may change a token")
    stock, found = (_tokens(model, batch, cls, beams) for cls in (NoSeam, Identity))
    same = stock == found
    return Check.of(same, f"{len(stock[0])} tokens, {'equal' if same else 'not equal'}")


def _attention(model: VisionLanguageModel) -> tuple[str, str]:
    return model.attention_of("text"), model.attention_of("vision")
