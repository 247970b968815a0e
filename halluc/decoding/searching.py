"""A method's own decoding loop over the model's cache: step, fork, roll back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformers import GenerationConfig, LogitsProcessor

    from halluc.config import DecodingConfig
    from halluc.decoding.kv_cache import FollowedCache
    from halluc.interventions.engine import Engine


def search_one(
    engine: Engine,
    prompt: dict[str, Any],
    cache: FollowedCache,
    config: GenerationConfig,
    decoding: DecodingConfig,
    processors: Sequence[LogitsProcessor],
) -> Tensor:
    """Let the method search for the answer to one prompt.

    Args:
        engine: Serving the method.
        prompt: Model inputs of one row a stream.
        config: As for `generate`, which prepares positions, masks and encoded images.
        processors: What happens to next-token logits: a method's own edits, onlookers, masks.

    Returns:
        Generated ids [1, T].
    """
    answer: list[int] = []

    def run(model: Any, input_ids: Tensor, **given: Any) -> Tensor:
        loop = CacheLoop(engine, input_ids, _rest(given), decoding, config, processors)
        answer.extend(engine.method.search(loop))
        return input_ids

    model = engine.model.model
    model.generate(**prompt, past_key_values=cache, generation_config=config, custom_generate=run)
    return torch.tensor([answer], dtype=torch.long, device=engine.model.device)


def _rest(given: dict[str, Any]) -> dict[str, Any]:
    """Keep what the model itself takes of what `generate` hands on."""
    own = ("logits_processor", "stopping_criteria", "generation_config")
    return {key: value for key, value in given.items() if key not in own}


class CacheLoop:
    """The loop a method's `search` is given; see `halluc.interventions.search_loop.SearchLoop`."""

    def __init__(
        self,
        engine: Engine,
        prompt: Tensor,
        inputs: dict[str, Any],
        decoding: DecodingConfig,
        config: GenerationConfig,
        processors: Sequence[LogitsProcessor],
    ) -> None:
        self._engine, self._prompt, self._config = engine, prompt, config
        self._inputs, self._processors = inputs, processors
        self._streams = len(engine.memory.streams)
        self.model, self.batch = engine.model, engine.memory.batch
        self.part: int | None = None
        self.beams = decoding.num_beams
        self.max_new_tokens = int(config.max_new_tokens)
        self.end_tokens = engine.model.end_tokens
        self.tokens = prompt.new_zeros(1, 0)
        self._log_probs = torch.zeros(1, 0, device=prompt.device)
        self._first = self.logits = self._read(prompt, first=True)

    @property
    def state(self) -> Any:
        """The method's memory."""
        memory = self._engine.memory.method
        return memory if self.part is None else memory[self.part]

    def step(self, tokens: Tensor) -> Tensor:
        """Feed one token to each row, int [N]; return the new `logits` [N, V]."""
        chosen = self.logits.log_softmax(-1).gather(1, tokens[:, None])
        self._log_probs = torch.cat([self._log_probs, chosen], 1)
        self.tokens = torch.cat([self.tokens, tokens[:, None]], 1)
        self.logits = self._read(self._whole())
        return self.logits

    def fork(self, rows: Tensor) -> None:
        """Go on with copies of these rows, int [M]."""
        count = len(self.tokens)
        offsets = torch.arange(self._streams, device=rows.device)[:, None] * count
        everywhere = (offsets + rows).flatten()
        self.tokens, self.logits = self.tokens[rows], self.logits[rows]
        self._log_probs = self._log_probs[rows]
        self._prompt = self._prompt[everywhere]
        self._inputs = {
            key: _rows(value, everywhere, count * self._streams)
            for key, value in self._inputs.items()
        }
        cache: FollowedCache = self._inputs["past_key_values"]
        cache.on_reorder = None
        cache.reorder_cache(everywhere)
        self._engine.reorder(everywhere)

    def rollback(self, count: int) -> None:
        """Take the last `count` tokens of every row back, with `logits` as they then were."""
        if count == 0:
            return
        left = self.tokens.shape[1] - count
        if left < 0:
            raise ValueError(f"cannot take {count} of {self.tokens.shape[1]} tokens back")
        self.tokens, self._log_probs = self.tokens[:, :left], self._log_probs[:, :left]
        cut = count + (left > 0)  # the last token that stays is read again, for its logits
        self._inputs = {key: _cropped(key, value, cut) for key, value in self._inputs.items()}
        self._engine.rollback(cut)
        if left:
            self.logits = self._read(self._whole())
        else:
            self.logits = self._first.expand(len(self.tokens), -1)

    def score(self) -> Tensor:
        """Return each row's sum of log-probabilities of its tokens, fp32 [N]."""
        return self._log_probs.sum(1)

    def _whole(self) -> Tensor:
        return torch.cat([self._prompt, self.tokens.repeat(self._streams, 1)], 1)

    def _read(self, input_ids: Tensor, first: bool = False) -> Tensor:
        """Read the last tokens, of the prompt all; return what the method makes of the logits."""
        model = self.model.model
        if first:
            found = model._prefill(input_ids, self._config, self._inputs)
        else:
            prepared = model.prepare_inputs_for_generation(
                input_ids, next_sequence_length=1, **self._inputs
            )
            found = model(**prepared, return_dict=True)
        self._inputs = model._update_model_kwargs_for_generation(found, self._inputs)
        logits: Tensor = found.logits[:, -1].float()
        for process in self._processors:
            logits = process(input_ids, logits)
        return logits[: len(logits) // self._streams]


def _rows(value: Any, rows: Tensor, count: int) -> Any:
    """Take rows of what has one entry a row: masks [rows, L], M-RoPE's positions [3, rows, L]."""
    if not isinstance(value, Tensor):
        return value
    if value.dim() == 3 and value.shape[0] in (3, 4) and value.shape[1] == count:
        return value[:, rows]
    return value[rows] if value.shape[0] == count else value


def _cropped(key: str, value: Any, count: int) -> Any:
    """Take the last tokens off what grows with them."""
    if key == "past_key_values":
        value.crop(value.get_seq_length() - count)
        return value
    grows = key in ("attention_mask", "position_ids", "token_type_ids", "mm_token_type_ids")
    if grows and isinstance(value, Tensor):
        return value[..., : value.shape[-1] - count]
    return value
