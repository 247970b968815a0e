"""One batch through the model's own `generate`, or a method's search, with its seams live."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from halluc.config import DecodingConfig
from halluc.decoding.finite_logits import Peaks
from halluc.decoding.kv_cache import cache_behind, growing_cache
from halluc.decoding.logits_processors import Forbid, InTurn, MethodLogits, sampling
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


@dataclass(frozen=True)
class Generated:
    """Tokens generated for a batch, and what they cost.

    Attributes:
        tokens: Generated ids [B, T], padded behind the end token.
        passes: Forward passes each sample took part in [B], counted as they happened.
        images_encoded: Images that went through the vision tower.
        broken: By row, the first token whose logits were not finite, the model's own or what became
            of them, counted from 0. What follows the end of an answer is no matter.
    """

    tokens: Tensor
    passes: list[float]
    images_encoded: int
    broken: dict[int, int]


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
        memo: Prefixes that another run has read, which answers the same samples in turns.
        touch: Notes whether the method edits anything.

    Raises:
        UserError: If the method searches, and the decoding samples.
        ValueError: If it searches, and there is more than one prompt.
    """
    # Inference mode is a few percent faster, and no tensor made in it can have a gradient.
    with torch.no_grad() if method.takes_gradients else torch.inference_mode():
        if "search" in method.declared():
            if decoding.do_sample:
                raise UserError(f"method {method.name!r} searches; leave out do_sample")
            if batch.size > 1:
                raise ValueError("a method that searches answers one prompt at a time")
        config = generation_config(model, decoding, max_new_tokens)
        inputs, streams = decoding_streams(model, method, batch)
        forks = decoding.num_beams > 1 or "search" in method.declared()
        again = memo is not None or forks
        common = share_prefixes(model, method, inputs, again) if share else None
        inputs, vision_attention = encoded_images(
            model, method, batch, common.prefixes if common else inputs
        )
        prompts = common.joined(model, inputs) if common else inputs
        if decoding.num_beams > 1:
            refuse_mixed_tiles(model, prompts)
        memory = BatchState.of_inputs(model, prompts, batch, streams)
        memory.vision_attention = vision_attention
        memory.greedy = decoding.greedy
        with intervene(model, method, memory, shared=common is not None, touch=touch) as engine:
            if common:
                inputs["position_ids"] = positions(model, inputs)
                engine.read_prefix(inputs, common.owner, memo)
                length = int(inputs["input_ids"].shape[1])
                cache = cache_behind(length, model.n_layers, config.max_new_tokens)
            engine.prepare(prompts)
            if not common:
                cache = growing_cache(model, config.max_new_tokens)
                reads = bool(method.vision_layers) or method.attention_in_tower
                prompts = embedded(model, prompts, encode=reads)
            peaks = Peaks(engine)
            processor = _processors(engine, decoding, watch, peaks)
            if "search" in engine.seams:
                with _without_defaults(model):
                    written = search_one(engine, prompts, cache, config, decoding, [processor])
            else:
                cache.on_reorder = engine.reorder
                with _without_defaults(model):
                    tokens = model.model.generate(
                        **prompts,
                        past_key_values=cache,
                        generation_config=config,
                        logits_processor=LogitsProcessorList([processor]),
                    )
                written = tokens[: batch.size, prompts["input_ids"].shape[1] :]
        images = int((inputs["input_ids"] == model.image_token).any(1).sum())
        broken = peaks.broken()
        if broken and decoding.num_beams == 1 and "search" not in engine.seams:
            ends = lengths(written, model).tolist()
            broken = {row: at for row, at in broken.items() if at < ends[row]}
        return Generated(written, engine.passes, images, broken)


def lengths(tokens: Tensor, model: VisionLanguageModel) -> Tensor:
    """Count generated tokens [B, T] up to and including the end token, [B]."""
    ended = torch.isin(tokens, torch.tensor(model.end_tokens, device=tokens.device)).int()
    return (ended.cumsum(1) - ended == 0).sum(1)


def _processors(
    engine: Engine, decoding: DecodingConfig, watch: Sequence[LogitsProcessor], peaks: Peaks
) -> InTurn:
    """Line up the logits processors: the method, onlookers, forbidden tokens, sampling.

    Peaks are taken of the model's own logits, of what the method makes, and of what is chosen from.
    """
    first: list[LogitsProcessor] = []
    then: list[LogitsProcessor] = []
    if "next_token_logits" in engine.seams:
        made = MethodLogits(engine, bool(engine.model.model.generation_config.bad_words_ids))
        first, then = [made, peaks], [Forbid(made, normalise=decoding.num_beams > 1)]
    seeds = engine.memory.batch.seeds * len(engine.memory.streams)
    line = [*first, *watch, *then, *sampling(decoding, seeds)]
    last = [peaks] if len(line) > len(watch) else []
    return InTurn([peaks, *line, *last])


def generation_config(
    model: VisionLanguageModel, decoding: DecodingConfig, max_new_tokens: int
) -> GenerationConfig:
    """Say how a batch is decoded; of the checkpoint's own settings only forbidden words stay."""
    end = model.end_tokens
    pad = model.processor.tokenizer.pad_token_id
    return GenerationConfig(
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
    """Set the checkpoint's defaults aside, from which `generate` fills in what it is not told.

    They would penalise, suppress or force tokens in answers of this checkpoint alone.
    """
    own = model.model.generation_config
    model.model.generation_config = GenerationConfig()
    try:
        yield
    finally:
        model.model.generation_config = own
