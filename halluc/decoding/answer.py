"""Answer samples in batches; a sample that fails is an answer that says so."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from transformers import GenerationConfig, LogitsProcessorList

from halluc.config import DecodingConfig
from halluc.decoding.processors import YesNo, sampling
from halluc.errors import UserError
from halluc.interventions.engine import SeamError, intervene
from halluc.samples import Answer, Sample

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from halluc.interventions import Method
    from halluc.models import VisionLanguageModel


def answer_samples(
    model: VisionLanguageModel,
    method: Method,
    samples: Iterable[Sample],
    decoding: DecodingConfig,
    batch_size: int,
) -> Iterator[Answer]:
    """Answer samples in the order given, `batch_size` at a time.

    A batch that raises (out of memory, a broken image) is halved until the culprit stands alone;
    only that sample fails.
    """
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
            return [_failed(batch[0], error)]
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    half = len(batch) // 2
    parts = (batch[:half], batch[half:])
    return [answer for part in parts for answer in _answer_or_halve(model, method, part, decoding)]


def _answer_batch(
    model: VisionLanguageModel, method: Method, batch: Sequence[Sample], decoding: DecodingConfig
) -> list[Answer]:
    started = time.perf_counter()
    images = {sample.image_id: sample.load_image() for sample in batch}
    inputs = model.encode(
        [model.render(sample.prompt) for sample in batch], [images[s.image_id] for s in batch]
    )
    yes_no = YesNo(model.yes_no_tokens) if model.yes_no_tokens else None
    tokens, extra_passes = _generate(model, method, inputs, batch, decoding, yes_no)

    read = inputs["attention_mask"].sum(1).tolist()
    written = _lengths(tokens, model).tolist()
    texts = model.processor.tokenizer.batch_decode(tokens, skip_special_tokens=True)
    seconds = (time.perf_counter() - started) / len(batch)
    hashes = {image_id: _image_hash(image) for image_id, image in images.items()}
    return [
        Answer(
            id=sample.id,
            image_id=sample.image_id,
            image_hash=hashes[sample.image_id],
            group=sample.group,
            prompt=sample.prompt,
            target=sample.target,
            text=texts[i].strip(),
            yes_no=yes_no.found[i * decoding.num_beams] if yes_no else None,
            prompt_tokens=read[i],
            tokens=written[i],
            forward_passes=written[i] * decoding.num_beams + extra_passes,
            seconds=seconds,
        )
        for i, sample in enumerate(batch)
    ]


@torch.inference_mode()
def _generate(
    model: VisionLanguageModel,
    method: Method,
    inputs: dict[str, Any],
    batch: Sequence[Sample],
    decoding: DecodingConfig,
    yes_no: YesNo | None,
) -> tuple[Tensor, int]:
    """Generated token ids [B, T], and the passes the method made beside the decoding."""
    config = _generation_config(model, batch, decoding)
    processors = ([yes_no] if yes_no else []) + sampling(decoding, [s.id for s in batch])
    with intervene(model, method, model.prompted(inputs)) as engine:
        extra_passes = method.prepare(engine, inputs)
        tokens = model.model.generate(
            **inputs, generation_config=config, logits_processor=LogitsProcessorList(processors)
        )
    return tokens[:, inputs["input_ids"].shape[1] :], extra_passes


def _generation_config(
    model: VisionLanguageModel, batch: Sequence[Sample], decoding: DecodingConfig
) -> GenerationConfig:
    """Every knob spelled out: a checkpoint's own sampling defaults must not leak in."""
    own, tokenizer = model.model.generation_config, model.processor.tokenizer
    eos = own.eos_token_id if own.eos_token_id is not None else tokenizer.eos_token_id
    pad = tokenizer.pad_token_id
    return GenerationConfig(
        do_sample=False,
        num_beams=decoding.num_beams,
        max_new_tokens=decoding.max_new_tokens or max(s.max_new_tokens for s in batch),
        repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        eos_token_id=eos,
        pad_token_id=pad if pad is not None else (eos[0] if isinstance(eos, list) else eos),
        use_cache=True,
    )


def _lengths(tokens: Tensor, model: VisionLanguageModel) -> Tensor:
    """Tokens generated up to and including the end token, [B]."""
    own = model.model.generation_config.eos_token_id
    ends = torch.tensor(own if isinstance(own, list) else [own], device=tokens.device)
    ended = torch.isin(tokens, ends).int()
    return (ended.cumsum(1) - ended == 0).sum(1)


def _failed(sample: Sample, error: Exception) -> Answer:
    reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
    return Answer(
        id=sample.id,
        image_id=sample.image_id,
        group=sample.group,
        prompt=sample.prompt,
        target=sample.target,
        status="failed",
        error=reason,
    )


def _image_hash(image: Image) -> str:
    return hashlib.sha256(image.tobytes()).hexdigest()[:10]
