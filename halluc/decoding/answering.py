"""Answer samples in batches; a sample that fails is an answer that says so."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import torch

from halluc.config import DecodingConfig
from halluc.decoding.asking_again import AskingAgain, Rewritten, revised
from halluc.decoding.batch_encoding import batch_of
from halluc.decoding.batching import distinct, planned, question, repeated
from halluc.decoding.chosen_tokens import TokenLogProbabilities
from halluc.decoding.generation import generate, lengths
from halluc.decoding.logits_processors import Letters, YesNo
from halluc.decoding.prefetch import prefetched, workers_for
from halluc.errors import UserError
from halluc.interventions.attention_switch import SeamError
from halluc.remote.answers import ask_endpoint
from halluc.remote.model import EndpointModel
from halluc.types import Answer, Sample

if TYPE_CHECKING:
    from halluc.decoding.chosen_tokens import ChosenTokens
    from halluc.interventions import Batch, Method
    from halluc.interventions.shared_prefix import Memo
    from halluc.interventions.touch import Touch
    from halluc.models import VisionLanguageModel

T = TypeVar("T")

_FEW, _MOST, _IN_FLIGHT = 32, 128, 8
"""Prompts answered together by default: on a CPU, at first on a GPU, by an endpoint."""


def answer_samples(
    model: VisionLanguageModel | EndpointModel,
    method: Method,
    samples: Iterable[Sample],
    decoding: DecodingConfig,
    batch_size: int | None = None,
    share: bool = True,
) -> Iterator[Answer]:
    """Answer samples one by one: `answer_batches`, with its batches taken apart."""
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
    touch: Touch | None = None,
    known: Iterable[Answer] = (),
    chosen: ChosenTokens | None = None,
) -> Iterator[list[Answer]]:
    """Answer samples, those about one image together and the shortest first.

    A batch that raises (out of memory, a broken image) is halved until the culprit stands alone;
    only that sample fails. After running out of memory no batch is as large again. A model behind
    an endpoint is sent `batch_size` requests at a time.

    Args:
        batch_size: Most prompts answered together; None tries what fits.
        share: Read what prompts about one image have in common once, and answer identical ones
            once unless answers are drawn at random.
        memo: Shared by several runs that answer the same samples in turns, batch by batch.
        workers: Processes that prepare images ahead of the model; None for as many as save time.
        touch: Notes whether the method edits anything.
        known: Answers to other samples that are there already: batches are those they would have
            been in, and a question that is among them is not asked again.
        chosen: Collects the tokens of answers with their log-probabilities.

    Raises:
        UserError: If the method does not fit the decoding, or workers cannot be started.
        SeamError: If the method declares a seam that is never called.
    """
    samples, known = list(samples), list(known)
    first, others = samples, dict[str, list[Sample]]()
    if share and not decoding.do_sample:
        there = {question(answer): answer for answer in known if answer.same_as is None}
        if again := [repeated(there[question(s)], s) for s in samples if question(s) in there]:
            yield again
        first, others = distinct(s for s in samples if question(s) not in there)
    answered: Iterable[list[Answer]]
    if isinstance(model, EndpointModel):
        sent = ask_endpoint(model, first, decoding, batch_size or _IN_FLIGHT)
        answered = ([answer] for answer in sent)
    else:
        size = batch_size or (_MOST if model.device.type == "cuda" else _FEW)
        size = 1 if "search" in method.declared() else size
        plan = list(planned(first, known, size, by_image=share))
        answering = _Answering(model, method, decoding, share, memo, touch, chosen)
        answered = answering.each(plan, size, 0 if memo else workers_for(model, workers))
    for answers in answered:
        yield [
            given
            for answer in answers
            for given in (answer, *(repeated(answer, s) for s in others.get(answer.id, ())))
        ]


@dataclass(frozen=True)
class _Answering:
    """Arguments of `answer_batches` that all its batches share."""

    model: VisionLanguageModel
    method: Method
    decoding: DecodingConfig
    share: bool
    memo: Memo | None
    touch: Touch | None
    chosen: ChosenTokens | None = None

    def each(
        self, planned: Sequence[list[Sample]], size: int, workers: int
    ) -> Iterator[list[Answer]]:
        """Yield the answers to each batch, or to parts of it if it fails or is too large."""
        started = time.perf_counter()
        for whole, ready in zip(planned, self._prefetched(planned, workers), strict=True):
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

    def _prefetched(self, planned: Sequence[list[Sample]], workers: int) -> Iterator[Batch | None]:
        return prefetched(self.model, self.method, planned, self.decoding.seed, workers)

    def together(
        self, samples: Sequence[Sample], ready: Batch | None, started: float
    ) -> list[Answer]:
        """Answer one batch.

        Args:
            ready: The batch, if it is encoded already.
            started: When it was begun, on `time.perf_counter`'s clock.
        """
        model = self.model
        saved = self.memo.saved if self.memo else 0.0
        batch = ready or self._encoded(samples)
        yes_no = YesNo(model.yes_no_tokens) if model.yes_no_tokens else None
        letters = _letters(model, samples)
        told = self._onlooker()
        ask = AskingAgain(model, batch)
        made = generate(
            model,
            self.method,
            replace(batch, ask=ask),
            self.decoding,
            max_new_tokens=max(sample.max_new_tokens for sample in samples),
            watch=[onlooker for onlooker in (yes_no, letters, told) if onlooker],
            share=self.share,
            memo=self.memo,
            touch=self.touch,
        )
        read = batch.inputs["attention_mask"].sum(1).tolist()
        written = lengths(made.tokens, model).tolist()
        if self.chosen is not None:
            self.chosen.take(samples, made.tokens, written, told)
        decoded = model.processor.tokenizer.batch_decode(made.tokens, skip_special_tokens=True)
        said = Rewritten([text.strip() for text in decoded])
        if "revise" in self.method.declared():
            said = revised(self.method, batch, said.texts, ask)
            if self.touch is not None and any(said.drafts):
                self.touch.seen = True
        trust: Sequence[float | None] = [None] * len(samples)
        if "confidence" in self.method.declared():
            trust = self.method.confidence(batch, said.texts, ask)
        broken = ask.broken | made.broken
        passes = [own + again for own, again in zip(made.passes, ask.passes, strict=True)]
        if self.memo:  # what another run has read for this one too
            started -= self.memo.saved - saved
        seconds = (time.perf_counter() - started) / len(samples)
        said_yes_no = _each(yes_no.found if yes_no else [], len(samples))
        said_letters = _each(letters.found if letters else [], len(samples))
        return [
            Answer.of(
                sample,
                image_hash=batch.image_hashes[i],
                text=said.texts[i],
                drafts=said.drafts.get(i, ()),
                confidence=trust[i],
                status="withheld" if self._withholds(trust[i]) else "ok",
                yes_no=said_yes_no[i],
                letters=_of(sample, said_letters[i]),
                prompt_tokens=read[i],
                tokens=written[i],
                forward_passes=round(passes[i]),
                images_encoded=made.images_encoded / len(samples),
                seconds=seconds,
            )
            if i not in broken
            else self._broken(sample, broken[i], alone=len(samples) == 1)
            for i, sample in enumerate(samples)
        ]

    def _onlooker(self) -> TokenLogProbabilities | None:
        """Return who notes what tokens are chosen with, where rows are answers from the start."""
        beams = self.decoding.num_beams > 1 or "search" in self.method.declared()
        return TokenLogProbabilities() if self.chosen is not None and not beams else None

    def _withholds(self, confidence: float | None) -> bool:
        return confidence is not None and confidence < self.method.withhold_below

    def _broken(self, sample: Sample, token: int, alone: bool) -> Answer:
        """Fail a sample whose logits are not finite.

        Beams go on until those of all samples are done, and may break when their own answer is
        written; so what beams break on next to others is asked again alone.
        """
        if self.decoding.num_beams > 1 and not alone:
            return self.together([sample], None, time.perf_counter())[0]
        return Answer.failed(sample, f"its logits are not finite at token {token + 1}")

    def _encoded(self, samples: Sequence[Sample]) -> Batch:
        def make() -> Batch:
            return batch_of(self.model, self.method, samples, self.decoding.seed)

        if self.memo is None:
            return make()
        rewritten = self.method.prefix_key() if "prompt" in self.method.declared() else None
        same = [(sample.id, sample.image_id, sample.prompt, sample.history) for sample in samples]
        batch: Batch = self.memo.once((rewritten, self.decoding.seed, same), make)
        return batch


def _letters(model: VisionLanguageModel, samples: Sequence[Sample]) -> Letters | None:
    """Return what reads off the letters of all samples' options; None without any."""
    letters = dict.fromkeys(letter for sample in samples for letter, _ in sample.options)
    tokens = model.letter_tokens([*letters])
    return Letters(tokens) if tokens else None


def _each(found: Sequence[T], count: int) -> Sequence[T | None]:
    """Return what an onlooker found of each sample, in the first of its rows."""
    return found[:: len(found) // count] if found else [None] * count


def _of(sample: Sample, found: Mapping[str, float] | None) -> dict[str, float | None] | None:
    """Return what was found of the letters of a sample's options; None unless all were."""
    letters = [letter for letter, _ in sample.options]
    if not letters or found is None or not found.keys() >= set(letters):
        return None
    return {letter: found[letter] for letter in letters}


def _halves(batch: list[Sample]) -> list[list[Sample]]:
    return [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
