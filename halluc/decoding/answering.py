"""Answer samples in batches; a sample that fails is an answer that says so."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from halluc.config import DecodingConfig
from halluc.decoding.batch_encoding import Prompts, prompts
from halluc.decoding.batching import batches, distinct, repeated
from halluc.decoding.generation import generate
from halluc.decoding.logits_processors import YesNo
from halluc.decoding.prefetch import ahead, workers_for
from halluc.errors import UserError
from halluc.interventions.attention_switch import SeamError
from halluc.remote.answers import ask_endpoint
from halluc.remote.model import EndpointModel
from halluc.types import Answer, Sample

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions import Method
    from halluc.interventions.shared_prefix import Memo
    from halluc.models import VisionLanguageModel

_FEW, _MOST, _IN_FLIGHT = 32, 128, 8
"""Prompts answered together where the user does not say: on a CPU, at first on a GPU, by others."""


def answer_samples(
    model: VisionLanguageModel | EndpointModel,
    method: Method,
    samples: Iterable[Sample],
    decoding: DecodingConfig,
    batch_size: int | None = None,
    share: bool = True,
) -> Iterator[Answer]:
    """Answer samples one by one: `answer_batches` for who does not care for batches."""
    for answers in answer_batches(model, method, samples, decoding, batch_size, share):
        yield from answers


def answer_batches(
    model: VisionLanguageModel | EndpointModel,
    method: Method,
    samples: Iterable[Sample],
    decoding: DecodingConfig,
    batch_size: int | None = None,
    share: bool = True,
    memo: Memo | None = None,
    workers: int | None = None,
) -> Iterator[list[Answer]]:
    """Answer samples, those about one image together and the shortest first.

    A batch that raises (out of memory, a broken image) is halved until the culprit stands alone;
    only that sample fails. After running out of memory no batch is as large again. A model behind
    an endpoint is sent `batch_size` requests at a time.

    Args:
        batch_size: Most prompts answered together; None tries what fits.
        share: Read what prompts about one image have in common once, and answer identical ones
            once unless answers are drawn at random.
        memo: Given to several runs that ask the same in turns, batch by batch.
        workers: Processes that prepare images ahead of the model; None: as many as pay.
    """
    samples = list(samples)
    asked, others = distinct(samples) if share and not decoding.do_sample else (samples, {})
    answered: Iterable[list[Answer]]
    if isinstance(model, EndpointModel):
        sent = ask_endpoint(model, asked, decoding, batch_size or _IN_FLIGHT)
        answered = ([answer] for answer in sent)
    else:
        size = batch_size or (_MOST if model.device.type == "cuda" else _FEW)
        planned = list(batches(asked, size) if share else _chunks(asked, size))
        answering = _Answering(model, method, decoding, share, memo)
        answered = answering.each(planned, size, 0 if memo else workers_for(model, workers))
    for answers in answered:
        yield [
            one
            for answer in answers
            for one in (answer, *(repeated(answer, s) for s in others.get(answer.id, ())))
        ]


@dataclass(frozen=True)
class _Answering:
    """How batches are answered; see `answer_batches`."""

    model: VisionLanguageModel
    method: Method
    decoding: DecodingConfig
    share: bool
    memo: Memo | None

    def each(
        self, planned: Sequence[list[Sample]], size: int, workers: int
    ) -> Iterator[list[Answer]]:
        """The answers to each batch, or to parts of it if it fails or is too large."""
        started = time.perf_counter()
        for whole, ready in zip(planned, ahead(self.model, planned, workers), strict=True):
            queue = deque([whole])
            while queue:
                batch = queue.popleft()
                if len(batch) > size:
                    queue.extendleft(reversed(_halves(batch)))
                    continue
                try:
                    yield self.together(batch, ready if batch is whole else None, started)
                except (SeamError, UserError):
                    raise
                except Exception as error:
                    if isinstance(error, torch.OutOfMemoryError):
                        size = max(1, len(batch) // 2)
                        torch.cuda.empty_cache()
                    if len(batch) == 1:
                        yield [Answer.failed(batch[0], error)]
                    else:
                        queue.extendleft(reversed(_halves(batch)))
                started = time.perf_counter()

    def together(
        self, batch: Sequence[Sample], ready: Prompts | None, started: float
    ) -> list[Answer]:
        """The answers to one batch.

        Args:
            ready: Its prompts, if they are made already.
            started: When it was begun, on `time.perf_counter`'s clock.
        """
        model, beams = self.model, self.decoding.num_beams
        ready = ready or self._prompts(batch)
        yes_no = YesNo(model.yes_no_tokens) if model.yes_no_tokens else None
        made = generate(
            model,
            self.method,
            ready.asked,
            self.decoding,
            max_new_tokens=max(sample.max_new_tokens for sample in batch),
            sample_ids=[sample.id for sample in batch],
            watch=[yes_no] if yes_no else [],
            share=self.share,
            memo=self.memo,
        )
        read = ready.asked.inputs["attention_mask"].sum(1).tolist()
        written = _lengths(made.tokens, model).tolist()
        texts = model.processor.tokenizer.batch_decode(made.tokens, skip_special_tokens=True)
        seconds = (time.perf_counter() - started) / len(batch)
        return [
            Answer.of(
                sample,
                image_hash=ready.hashes[sample.image_id],
                text=texts[i].strip(),
                yes_no=yes_no.found[i * beams] if yes_no else None,
                prompt_tokens=read[i],
                tokens=written[i],
                forward_passes=written[i] * beams * made.n_streams + made.extra_passes,
                images_encoded=made.images_encoded / len(batch),
                seconds=seconds,
            )
            for i, sample in enumerate(batch)
        ]

    def _prompts(self, batch: Sequence[Sample]) -> Prompts:
        if self.memo is None:
            return prompts(self.model, batch)
        asked = [(one.image_id, one.prompt, one.history) for one in batch]
        made: Prompts = self.memo.once(asked, lambda: prompts(self.model, batch))
        return made


def _chunks(samples: list[Sample], size: int) -> list[list[Sample]]:
    return [samples[i : i + size] for i in range(0, len(samples), size)]


def _halves(batch: list[Sample]) -> list[list[Sample]]:
    return [batch[: len(batch) // 2], batch[len(batch) // 2 :]]


def _lengths(tokens: Tensor, model: VisionLanguageModel) -> Tensor:
    """Tokens generated up to and including the end token, [B]."""
    own = model.model.generation_config.eos_token_id
    ends = torch.tensor(own if isinstance(own, list) else [own], device=tokens.device)
    ended = torch.isin(tokens, ends).int()
    return (ended.cumsum(1) - ended == 0).sum(1)
