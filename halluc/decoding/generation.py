"""One batch through the model's own `generate`, or a method's search, with its seams live."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from halluc.config import DecodingConfig
from halluc.decoding.kv_cache import cache_behind, growing_cache
from halluc.decoding.logits_processors import Forbid, MethodLogits, sampling
from halluc.decoding.prefix_sharing import positions, share_prefixes
from halluc.decoding.searching import search_one
from halluc.decoding.streams import decoding_streams, encoded_images
from halluc.errors import UserError
from halluc.interventions import BatchState
from halluc.interventions.engine import intervene
from halluc.models.embed_prompt import embedded, refuse_mixed_tiles

if TYPE_CHECKING:
    from torch import Tensor

    from halluc.interventions import Batch, Method
    from halluc.interventions.engine import Engine
    from halluc.interventions.shared_prefix import Memo
    from halluc.interventions.touch import Touch
    from halluc.models import VisionLanguageModel

# What a checkpoint's generation_config may hold that would change or break answers, and the value
# at which it does nothing. `generate` fills in whatever is None here from the checkpoint.
_NEUTRAL = {
    "repetition_penalty": 1.0, "encoder_repetition_penalty": 1.0, "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0, "length_penalty": 1.0, "min_length": 0, "min_new_tokens": 0,
    "guidance_scale": 1.0, "num_return_sequences": 1, "num_beam_groups": 1, "diversity_penalty": 0.0,
    "early_stopping": False, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "typical_p": 1.0,
    "epsilon_cutoff": 0.0, "eta_cutoff": 0.0, "remove_invalid_values": False,
    "renormalize_logits": False, "return_dict_in_generate": False, "output_scores": False,
    "output_logits": False, "output_attentions": False, "output_hidden_states": False,
}  # fmt: skip
_ABSENT = (
    "suppress_tokens", "begin_suppress_tokens", "forced_bos_token_id", "forced_eos_token_id",
    "exponential_decay_length_penalty", "sequence_bias", "max_time", "stop_strings", "min_p",
    "top_h", "watermarking_config", "cache_implementation", "cache_config", "prompt_lookup_num_tokens",
    "penalty_alpha", "dola_layers", "constraints", "force_words_ids", "token_healing",
)  # fmt: skip
"""Defaults that have no neutral value: taken out of the checkpoint's for the length of a batch.

`bad_words_ids` stays: Idefics' checkpoints name tokens there that must never be written.
"""


@dataclass(frozen=True)
class Generated:
    """What came of a batch.

    Attributes:
        tokens: Generated ids [B, T], padded behind the end token.
        passes: Forward passes each sample took part in [B], counted as they happened.
        images_encoded: Images that went through the vision tower.
    """

    tokens: Tensor
    passes: list[float]
    images_encoded: int


@torch.no_grad()
def generate(
    model: VisionLanguageModel,
    method: Method,
    batch: Batch,
    decoding: DecodingConfig,
    *,
    max_new_tokens: int,
    watch: Sequence[LogitsProcessor] = (),
    share: bool = True,
    memo: Memo | None = None,
    touch: Touch | None = None,
) -> Generated:
    """Answer a batch of prompts.

    Args:
        batch: Encoded.
        max_new_tokens: Where answers are cut, unless the decoding says otherwise.
        watch: Processors that look at the logits the method leads to, before it rules tokens out;
            rows as in `MethodLogits`.
        share: Read what prompts about one image begin with once, where model and method allow.
        memo: Prefixes that a run next to this one has read.
        touch: Finds out whether the method edits anything.

    Raises:
        UserError: If the method searches, and the decoding samples.
        ValueError: If it searches, and there is more than one prompt.
    """
    if "search" in method.declared():
        if decoding.do_sample:
            raise UserError(f"method {method.name!r} searches; leave out do_sample")
        if batch.size > 1:
            raise ValueError("a method that searches answers one prompt at a time")
    config = generation_config(model, decoding, max_new_tokens)
    inputs, streams = decoding_streams(model, method, batch)
    common = share_prefixes(model, method, inputs, kept=memo is not None) if share else None
    inputs, vision_attention = encoded_images(
        model, method, batch, common.prefixes if common else inputs
    )
    prompts = common.joined(model, inputs) if common else inputs
    if decoding.num_beams > 1:
        refuse_mixed_tiles(model, prompts)
    memory = BatchState.of_inputs(model, prompts, batch, streams)
    memory.vision_attention = vision_attention
    with intervene(model, method, memory, shared=common is not None, touch=touch) as engine:
        if common:
            inputs["position_ids"] = positions(model, inputs)
            engine.read_prefix(inputs, common.owner, memo)
            length = int(inputs["input_ids"].shape[1])
            cache = cache_behind(length, model.n_layers, config.max_new_tokens)
        engine.prepare(prompts)
        if not common:
            cache = growing_cache(model, config.max_new_tokens)
            prompts = embedded(model, prompts, encode=bool(method.vision_layers))
        processors = _processors(engine, decoding, watch)
        if "search" in engine.seams:
            written = search_one(engine, prompts, cache, config, decoding, processors)
        else:
            cache.on_reorder = engine.reorder
            with _without_defaults(model):
                tokens = model.model.generate(
                    **prompts,
                    past_key_values=cache,
                    generation_config=config,
                    logits_processor=LogitsProcessorList(processors),
                )
            written = tokens[: batch.size, prompts["input_ids"].shape[1] :]
    images = int((inputs["input_ids"] == model.image_token).any(1).sum())
    return Generated(written, engine.passes, images)


def _processors(
    engine: Engine, decoding: DecodingConfig, watch: Sequence[LogitsProcessor]
) -> list[LogitsProcessor]:
    """Line up what happens to next-token logits: method, onlookers, what is ruled out, sampling."""
    first: list[LogitsProcessor] = []
    then: list[LogitsProcessor] = []
    if "next_token_logits" in engine.seams:
        made = MethodLogits(engine)
        first, then = [made], [Forbid(made, normalise=decoding.num_beams > 1)]
    seeds = engine.memory.batch.seeds * len(engine.memory.streams)
    return [*first, *watch, *then, *sampling(decoding, seeds)]


def generation_config(
    model: VisionLanguageModel, decoding: DecodingConfig, max_new_tokens: int
) -> GenerationConfig:
    """Spell every knob out: a checkpoint's own defaults must not leak into answers."""
    end = model.end_tokens
    pad = model.processor.tokenizer.pad_token_id
    return GenerationConfig(
        **_NEUTRAL,
        do_sample=False,
        num_beams=decoding.num_beams,
        max_new_tokens=decoding.max_new_tokens or max_new_tokens,
        bad_words_ids=model.model.generation_config.bad_words_ids,
        eos_token_id=end or None,
        pad_token_id=pad if pad is not None else (end[0] if end else 0),
        use_cache=True,
    )


@contextmanager
def _without_defaults(model: VisionLanguageModel) -> Iterator[None]:
    """Take defaults that `generate` would fill in out of the checkpoint's, for a `with`."""
    own = model.model.generation_config
    before = {name: getattr(own, name) for name in _ABSENT if getattr(own, name, None) is not None}
    for name in before:
        setattr(own, name, None)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(own, name, value)
