"""What the engine promises of every model, each a check of a loaded one.

A promise is a function of the model and of two questions about two images; it says whether it is
kept, and what was measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch

from halluc.config import DecodingConfig
from halluc.decoding.generation import generate
from halluc.doctor.probes import Identity, LooksAway, NoSeam
from halluc.interventions import Asked
from halluc.interventions.engine import intervene

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image
    from torch import Tensor

    from halluc.interventions import Method
    from halluc.models import VisionLanguageModel

# Largest difference of logits that is taken for rounding, as a share of the largest logit.
_ROUNDING = {
    torch.float64: 1e-9, torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2,
}  # fmt: skip
_NEW_TOKENS = 6


@dataclass(frozen=True)
class Finding:
    """What came of one check.

    Attributes:
        status: "skipped" where the check means nothing for this model.
        measured: Numbers, or the reason, in words.
    """

    status: Literal["kept", "broken", "skipped"]
    measured: str

    @classmethod
    def of(cls, kept: bool, measured: str) -> Finding:
        """A promise kept or broken."""
        return cls("kept" if kept else "broken", measured)


Promise = Callable[["VisionLanguageModel", Asked], Finding]


def probe(model: VisionLanguageModel, questions: Sequence[str], images: Sequence[Image]) -> Asked:
    """Questions as a batch; they should differ in length, so that one is padded."""
    rendered = [model.render(question) for question in questions]
    return Asked(questions, rendered, images, model.encode(rendered, images))


def check(promise: Promise, model: VisionLanguageModel, asked: Asked) -> Finding:
    """Check a promise; one that cannot even be checked is broken."""
    try:
        return promise(model, asked)
    except Exception as error:  # whatever a model does that was not made for this
        return Finding("broken", f"{type(error).__name__}: {error}".splitlines()[0])


def untouched(model: VisionLanguageModel, asked: Asked) -> Finding:
    """A method without seams changes no bit."""
    stock, found = _logits(model, asked.inputs), _logits(model, asked.inputs, NoSeam)
    return _same(found, stock, bound=0.0)


def identity(model: VisionLanguageModel, asked: Asked) -> Finding:
    """All seams, changing nothing, give the stock logits."""
    stock, found = _logits(model, asked.inputs), _logits(model, asked.inputs, Identity)
    return _same(found, stock, _bound(model, stock))


def reach(model: VisionLanguageModel, asked: Asked) -> Finding:
    """Taking the image out of sight changes every row's logits: seams bind where the image is."""
    stock, found = _logits(model, asked.inputs), _logits(model, asked.inputs, LooksAway)
    moved = float((found - stock).abs().amax(1).min())
    bound = _bound(model, stock)
    return Finding.of(moved > bound, f"{moved:.1g}, rounding is {bound:.1g}")


def restore(model: VisionLanguageModel, asked: Asked) -> Finding:
    """Leaving restores the model exactly, also after an exception."""
    before, attention = _logits(model, asked.inputs), _attention(model)
    hooks = _hooks(model)
    _logits(model, asked.inputs, LooksAway)
    try:
        with intervene(model, _made(LooksAway), model.prompted(asked.inputs)):
            raise _Interrupted
    except _Interrupted:
        pass
    if _attention(model) != attention:
        return Finding.of(False, f"attention is {_attention(model)}, was {attention}")
    if _hooks(model) != hooks:
        return Finding.of(False, f"{_hooks(model)} hooks, were {hooks}")
    return _same(_logits(model, asked.inputs), before, bound=0.0)


def padding(model: VisionLanguageModel, asked: Asked) -> Finding:
    """A left-padded batch gives the logits of its prompts alone."""
    return _batch_equals_single(model, asked, NoSeam)


def batch(model: VisionLanguageModel, asked: Asked) -> Finding:
    """An edit does the same in a batch as alone."""
    return _batch_equals_single(model, asked, LooksAway)


def columns(model: VisionLanguageModel, asked: Asked) -> Finding:
    """Each prompt has as many image tokens as the vision tower gives features."""
    counts, width = [], model.model.config.get_text_config().hidden_size
    for one in _singles(model, asked):
        tokens = int(model.n_image_tokens(one).sum())
        with torch.inference_mode():
            numbers = sum(image.numel() for image in model.encode_images(one).pooler_output)
        counts.append((tokens, numbers // width))
    kept = all(tokens == features > 0 for tokens, features in counts)
    words = (f"{tokens} tokens, {features} features" for tokens, features in counts)
    return Finding.of(kept, "; ".join(dict.fromkeys(words)))


def greedy(model: VisionLanguageModel, asked: Asked) -> Finding:
    """Greedy decoding under the identity gives the stock tokens."""
    return _same_tokens(model, asked, beams=1)


def beams(model: VisionLanguageModel, asked: Asked) -> Finding:
    """So do three beams."""
    return _same_tokens(model, asked, beams=3)


PROMISES: dict[str, Promise] = {
    "no seam changes nothing": untouched,
    "identity gives stock logits": identity,
    "an edit is felt": reach,
    "leaving restores the model": restore,
    "left padding changes nothing": padding,
    "batches change no edit": batch,
    "image tokens match features": columns,
    "greedy decoding is stock": greedy,
    "three beams are stock": beams,
}


class _Interrupted(Exception):
    pass


def _made(cls: type[Method]) -> Method:
    return cls(cls.Params())


def _logits(
    model: VisionLanguageModel, inputs: dict[str, Any], cls: type[Method] | None = None
) -> Tensor:
    """Logits behind the last token, fp32 [B, V]; of the model alone if there is no method."""
    with torch.inference_mode():
        if cls is None:
            return _forward(model, inputs)
        with intervene(model, _made(cls), model.prompted(inputs)):
            return _forward(model, inputs)


def _forward(model: VisionLanguageModel, inputs: dict[str, Any]) -> Tensor:
    logits: Tensor = model.model(**inputs, logits_to_keep=1).logits
    return logits[:, -1].float()


def _tokens(
    model: VisionLanguageModel, asked: Asked, cls: type[Method], beams: int
) -> list[list[int]]:
    ids = [str(row) for row in range(len(asked.questions))]
    made = generate(
        model, _made(cls), asked, DecodingConfig(num_beams=beams),
        max_new_tokens=_NEW_TOKENS, sample_ids=ids,
    )  # fmt: skip
    found: list[list[int]] = made.tokens.tolist()
    return found


def _singles(model: VisionLanguageModel, asked: Asked) -> list[dict[str, Any]]:
    pairs = zip(asked.rendered, asked.images, strict=True)
    return [model.encode([rendered], [image]) for rendered, image in pairs]


def _bound(model: VisionLanguageModel, logits: Tensor) -> float:
    """Differences up to this are rounding; quantised models round in eight bits or fewer."""
    quantised = getattr(model.model, "is_quantized", False)
    share = _ROUNDING[torch.bfloat16 if quantised else model.model.dtype]
    return share * max(1.0, float(logits.abs().max()))


def _same(found: Tensor, wanted: Tensor, bound: float) -> Finding:
    difference = float((found - wanted).abs().max())
    kept = difference <= bound  # nan is none
    return Finding.of(kept, f"largest difference {difference:.1g}, allowed {bound:.1g}")


def _batch_equals_single(model: VisionLanguageModel, asked: Asked, cls: type[Method]) -> Finding:
    together = _logits(model, asked.inputs, cls)
    alone = torch.cat([_logits(model, one, cls) for one in _singles(model, asked)])
    return _same(together, alone, _bound(model, alone))


def _same_tokens(model: VisionLanguageModel, asked: Asked, beams: int) -> Finding:
    if model.model.dtype not in (torch.float32, torch.float64):
        return Finding("skipped", f"rounding of {model.model.dtype} may change a token")
    stock, found = (_tokens(model, asked, cls, beams) for cls in (NoSeam, Identity))
    same = stock == found
    return Finding.of(same, f"{len(stock[0])} tokens, {'equal' if same else 'not equal'}")


def _attention(model: VisionLanguageModel) -> tuple[str, str]:
    return model.attention_of("text"), model.attention_of("vision")


def _hooks(model: VisionLanguageModel) -> int:
    modules = model.model.modules()
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules)
