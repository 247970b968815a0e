"""Hold a method, a plug-in's too, to what every method promises.

    from halluc.testing import check_method
    check_method(MyMethod)

Each promise is a function of a model and a prepared method that raises `AssertionError` where it is
broken; `check_method` runs them all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from transformers import LogitsProcessor

from halluc.config import DecodingConfig
from halluc.decoding.whole_batch import answer_together, row_of
from halluc.decoding.whole_batch import batch_of_questions as batch_of_questions
from halluc.interventions import Batch, Method, no_method

if TYPE_CHECKING:
    from halluc.models import VisionLanguageModel

QUESTIONS = ("Is there a dog?", "Please describe this image. Is there a car in the image?")
_TOKENS = 6
_CLOSE = 1e-3


class FirstLogits(LogitsProcessor):
    """Keeps the logits of the first generated token [rows, V]."""

    def __init__(self) -> None:
        self.logits: Tensor | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Keep them once; return them unchanged."""
        self.logits = scores.float().clone() if self.logits is None else self.logits
        return scores


class BatchReply(NamedTuple):
    """What a model with a method says to a batch.

    Attributes:
        logits: Of the first token, of each prompt's first beam [B, V].
        tokens: Generated ids [B, T].
        passes: Forward passes of each prompt [B].
    """

    logits: Tensor
    tokens: Tensor
    passes: list[float]


def reply(
    model: VisionLanguageModel,
    method: Method,
    batch: Batch,
    decoding: DecodingConfig | None = None,
    tokens: int = _TOKENS,
    share: bool = True,
) -> BatchReply:
    """Answer a batch, keeping the first token's logits."""
    seen: list[FirstLogits] = []

    def watch() -> list[LogitsProcessor]:
        seen.append(FirstLogits())
        return [seen[-1]]

    decoding = decoding or DecodingConfig()
    made = answer_together(model, method, batch, decoding, tokens, watch, share)
    logits = torch.cat([first.logits for first in seen if first.logits is not None])
    repeats = len(logits) // batch.size  # streams stand below each other, beams next to each other
    each = 1 if repeats < decoding.num_beams else decoding.num_beams
    return BatchReply(logits[: batch.size * each : each], made.tokens, made.passes)


def same(one: BatchReply, other: BatchReply, what: str, close: float = _CLOSE) -> None:
    """Assert that logits are close, and tokens equal."""
    finite = torch.isfinite(other.logits)
    assert torch.equal(finite, torch.isfinite(one.logits)), f"{what}: other tokens are ruled out"
    difference = float((one.logits - other.logits)[finite].abs().max())
    assert difference <= close, f"{what}: logits differ by {difference:.2g}"
    width = min(one.tokens.shape[1], other.tokens.shape[1])
    assert torch.equal(one.tokens[:, :width], other.tokens[:, :width]), f"{what}: other tokens"


def changes_nothing_at_no_op(model: VisionLanguageModel, cls: type[Method], batch: Batch) -> None:
    """Equal the baseline with the parameters the method calls a no-op."""
    assert cls.noop, f"{cls.name}: `noop` says which parameters make it do nothing"
    if "prompt" in cls.declared():
        return  # other words are other prompts
    stock = reply(model, no_method(), batch)
    same(reply(model, cls.for_model(model, cls.noop), batch), stock, f"{cls.name} at {cls.noop}")


def needs_no_company(
    model: VisionLanguageModel, method: Method, batch: Batch, decoding: DecodingConfig
) -> None:
    """Answer each prompt of a batch, left-padded, as it does alone."""
    together = reply(model, method, batch, decoding)
    for number in range(batch.size):
        alone = reply(model, method, row_of(batch, number), decoding)
        part = BatchReply(together.logits[[number]], together.tokens[[number]], [])
        same(part, alone, f"{method.name}: prompt {number} in a batch and alone")


def needs_no_sharing(model: VisionLanguageModel, method: Method, batch: Batch) -> None:
    """Answer questions about one image alike, whether their prefix is shared or not."""
    images = [batch.images[0]] * batch.size
    about_one = batch_of_questions(batch.prompts, images, batch.ids)
    shared = reply(model, method, about_one)
    same(shared, reply(model, method, about_one, share=False), f"{method.name}: shared and not")


def leaks_nothing(
    model: VisionLanguageModel, method: Method, batch: Batch, fresh: Callable[[], Method]
) -> None:
    """Answer a prompt alike, whatever was answered before."""
    first = reply(model, fresh(), row_of(batch, 1))
    reply(model, method, row_of(batch, 0))
    after = reply(model, method, row_of(batch, 1))
    assert torch.equal(after.logits, first.logits), f"{method.name}: a sample leaks into the next"


def restores_the_model(model: VisionLanguageModel, method: Method, batch: Batch) -> None:
    """Leave weights, hooks and attention as they were, bit for bit."""
    before = reply(model, no_method(), batch)
    kernels = model.attention_of("text"), model.n_hooks
    weights = {name: value.data_ptr() for name, value in model.model.named_parameters()}
    reply(model, method, batch)
    after = reply(model, no_method(), batch)
    assert torch.equal(before.logits, after.logits), f"{method.name}: logits are not restored"
    assert (model.attention_of("text"), model.n_hooks) == kernels, f"{method.name}: hooks are left"
    now = {name: value.data_ptr() for name, value in model.model.named_parameters()}
    assert now == weights, f"{method.name}: parameters are not restored"


def check_method(
    cls: type[Method],
    model: VisionLanguageModel | None = None,
    params: Mapping[str, Any] | None = None,
    batch: Batch | None = None,
) -> None:
    """Hold a method to every promise: no-op, batch, padding, beams, sampling, sharing, restore.

    Args:
        cls: The method's class.
        model: On which model; the embedded `glyph` by default.
        params: The method's parameters; its defaults where they are left out.
        batch: At least two prompts of different length; two questions about drawn scenes by
            default.

    Raises:
        AssertionError: Naming the promise that is broken.
        UserError: If the method refuses the model.
    """
    if model is None:
        from halluc.models.load import load_model

        model = load_model("glyph")
    batch = batch or _drawn()
    method = cls.for_model(model, params)
    changes_nothing_at_no_op(model, cls, batch)
    needs_no_company(model, method, batch, DecodingConfig())
    needs_no_company(model, method, batch, DecodingConfig(num_beams=3))
    if "search" not in cls.declared():
        needs_no_company(model, method, batch, DecodingConfig(do_sample=True, seed=1))
    needs_no_sharing(model, method, batch)
    leaks_nothing(model, method, batch, lambda: cls.for_model(model, params))
    restores_the_model(model, method, batch)


def _drawn() -> Batch:
    from halluc.world import render, scene

    images = [render(scene("calibration", index)) for index in range(len(QUESTIONS))]
    return batch_of_questions(QUESTIONS, images)
