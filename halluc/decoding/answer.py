"""Answer samples in batches; a sample that fails is an answer that says so."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import torch

from halluc.config import DecodingConfig
from halluc.decoding.endpoint import ask_endpoint
from halluc.decoding.generate import generate
from halluc.decoding.processors import YesNo
from halluc.errors import UserError
from halluc.images import as_rgb, image_hash
from halluc.interventions import Asked
from halluc.interventions.switch import SeamError
from halluc.models.endpoint import EndpointModel
from halluc.samples import Answer, Sample

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions import Method
    from halluc.models import VisionLanguageModel


def answer_samples(
    model: VisionLanguageModel | EndpointModel,
    method: Method,
    samples: Iterable[Sample],
    decoding: DecodingConfig,
    batch_size: int,
) -> Iterator[Answer]:
    """Answer samples in the order given, `batch_size` at a time.

    A batch that raises (out of memory, a broken image) is halved until the culprit stands alone;
    only that sample fails. A model behind an endpoint is sent `batch_size` requests at a time.
    """
    if isinstance(model, EndpointModel):
        yield from ask_endpoint(model, samples, decoding, batch_size)
        return
    stream = iter(samples)
    while batch := list(islice(stream, batch_size)):
        yield from _answer_or_halve(model, method, batch, decoding)


def _answer_or_halve(
    model: VisionLanguageModel, method: Method, batch: list[Sample], decoding: DecodingConfig
) -> list[Answer]:
    try:
        return _answer_batch(model, method, batch, decoding)
    except (SeamError, UserError):
        raise
    except Exception as error:
        if len(batch) == 1:
            return [Answer.failed(batch[0], error)]
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    half = len(batch) // 2
    parts = (batch[:half], batch[half:])
    return [answer for part in parts for answer in _answer_or_halve(model, method, part, decoding)]


def _answer_batch(
    model: VisionLanguageModel, method: Method, batch: Sequence[Sample], decoding: DecodingConfig
) -> list[Answer]:
    started = time.perf_counter()
    images = {sample.image_id: as_rgb(sample.load_image()) for sample in batch}
    rendered = [model.render(sample.prompt) for sample in batch]
    inputs = model.encode(rendered, [images[sample.image_id] for sample in batch])
    yes_no = YesNo(model.yes_no_tokens) if model.yes_no_tokens else None
    asked = Asked(
        questions=[sample.prompt for sample in batch],
        rendered=rendered,
        images=[images[sample.image_id] for sample in batch],
        inputs=inputs,
    )
    made = generate(
        model,
        method,
        asked,
        decoding,
        max_new_tokens=max(sample.max_new_tokens for sample in batch),
        sample_ids=[sample.id for sample in batch],
        watch=[yes_no] if yes_no else [],
    )

    read = inputs["attention_mask"].sum(1).tolist()
    written = _lengths(made.tokens, model).tolist()
    texts = model.processor.tokenizer.batch_decode(made.tokens, skip_special_tokens=True)
    seconds = (time.perf_counter() - started) / len(batch)
    hashes = {image_id: image_hash(image) for image_id, image in images.items()}
    return [
        Answer.of(
            sample,
            image_hash=hashes[sample.image_id],
            text=texts[i].strip(),
            yes_no=yes_no.found[i * decoding.num_beams] if yes_no else None,
            prompt_tokens=read[i],
            tokens=written[i],
            forward_passes=written[i] * decoding.num_beams * made.n_streams + made.extra_passes,
            seconds=seconds,
        )
        for i, sample in enumerate(batch)
    ]


def _lengths(tokens: Tensor, model: VisionLanguageModel) -> Tensor:
    """Tokens generated up to and including the end token, [B]."""
    own = model.model.generation_config.eos_token_id
    ends = torch.tensor(own if isinstance(own, list) else [own], device=tokens.device)
    ended = torch.isin(tokens, ends).int()
    return (ended.cumsum(1) - ended == 0).sum(1)
