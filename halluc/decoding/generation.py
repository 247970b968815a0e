"""One batch through the model's own `generate`, with a method's seams live."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from halluc.config import DecodingConfig
from halluc.decoding.kv_cache import cache_behind, growing_cache
from halluc.decoding.logits_processors import Combine, sampling
from halluc.decoding.prefix_sharing import positions, shared
from halluc.decoding.streams import decoding_streams, encoded_images
from halluc.interventions.engine import intervene
from halluc.models.embed_prompt import embedded, refuse_mixed_tiles

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions import Asked, Method
    from halluc.interventions.shared_prefix import Memo
    from halluc.models import VisionLanguageModel


@dataclass(frozen=True)
class Generated:
    """What came of a batch.

    Attributes:
        tokens: Generated ids [B, T], padded behind the end token.
        n_streams: Copies of each sample that were decoded side by side.
        extra_passes: Passes the method made for each sample beside the decoding.
        images_encoded: Images that went through the vision tower.
    """

    tokens: Tensor
    n_streams: int
    extra_passes: int
    images_encoded: int


@torch.inference_mode()
def generate(
    model: VisionLanguageModel,
    method: Method,
    asked: Asked,
    decoding: DecodingConfig,
    *,
    max_new_tokens: int,
    sample_ids: Sequence[str],
    watch: Sequence[LogitsProcessor] = (),
    share: bool = True,
    memo: Memo | None = None,
) -> Generated:
    """Answer a batch of prompts.

    Args:
        max_new_tokens: Where answers are cut, unless the decoding says otherwise.
        sample_ids: Seeds of the sampling, one for each prompt.
        watch: Processors that look at the scores the method leads to, rows as in `Combine`.
        share: Read what prompts about one image begin with once, where model and method allow.
        memo: Beginnings that a run beside this one has read.
    """
    config = _config(model, decoding, max_new_tokens)
    inputs, n_streams = decoding_streams(model, method, asked)
    common = shared(model, method, inputs, kept=memo is not None) if share else None
    inputs, vision_attention = encoded_images(
        model, method, common.beginnings if common else inputs
    )
    prompts = common.prompts(model, inputs) if common else inputs
    if decoding.num_beams > 1:
        refuse_mixed_tiles(model, prompts)
    prompted = model.prompted(prompts)
    prompted.vision_attention, prompted.n_streams = vision_attention, n_streams
    processors: list[LogitsProcessor] = []
    if "combine" in method.declared():
        processors.append(Combine(method, n_streams, normalise=decoding.num_beams > 1))
    processors += [*watch, *sampling(decoding, [*sample_ids] * n_streams)]
    with intervene(model, method, prompted, shared=common is not None) as engine:
        if common:
            inputs["position_ids"] = positions(model, inputs)
            engine.read_prefix(inputs, common.owner, memo)
            length = int(inputs["input_ids"].shape[1])
            cache = cache_behind(length, model.n_layers, config.max_new_tokens)
        extra_passes = method.prepare(engine, prompts)
        if not common:
            cache = growing_cache(model, config.max_new_tokens)
            prompts = embedded(model, prompts, encode=bool(method.vision_layers))
        tokens = model.model.generate(
            **prompts,
            past_key_values=cache,
            generation_config=config,
            logits_processor=LogitsProcessorList(processors),
        )
    written = tokens[: len(sample_ids), prompts["input_ids"].shape[1] :]
    images = int((inputs["input_ids"] == model.image_token).any(1).sum())
    return Generated(written, n_streams, extra_passes, images)


def _config(
    model: VisionLanguageModel, decoding: DecodingConfig, max_new_tokens: int
) -> GenerationConfig:
    """Every knob spelled out: a checkpoint's own sampling defaults must not leak in."""
    own, tokenizer = model.model.generation_config, model.processor.tokenizer
    eos = own.eos_token_id if own.eos_token_id is not None else tokenizer.eos_token_id
    pad = tokenizer.pad_token_id
    return GenerationConfig(
        do_sample=False,
        num_beams=decoding.num_beams,
        max_new_tokens=decoding.max_new_tokens or max_new_tokens,
        repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        eos_token_id=eos,
        pad_token_id=pad if pad is not None else (eos[0] if isinstance(eos, list) else eos),
        use_cache=True,
    )
