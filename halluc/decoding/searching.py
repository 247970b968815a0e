"""A method's own decoding loop over the model's cache: step, fork, roll back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy, deepcopy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import LogitsProcessorList

from halluc.decoding.kv_cache import Growing

if TYPE_CHECKING:
    from transformers import GenerationConfig, LogitsProcessor

    from halluc.config import DecodingConfig
    from halluc.decoding.kv_cache import FollowedCache
    from halluc.interventions.engine import Engine

_BY_TOKEN = {
    "attention_mask": 1, "position_ids": -1, "token_type_ids": 1, "mm_token_type_ids": 1,
    "cross_attention_mask": 1,
}  # fmt: skip
"""What grows with each token, and along which dimension; other inputs are of the prompt alone."""


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

    def run(
        reader: Any, input_ids: Tensor, logits_processor: LogitsProcessorList, **given: Any
    ) -> Tensor:
        own = ("stopping_criteria", "generation_config")
        inputs = {key: value for key, value in given.items() if key not in own}
        prepared = given["generation_config"]  # knows how much of the prompt was read before
        loop = CacheLoop(engine, reader, input_ids, inputs, decoding, prepared, logits_processor)
        answer.extend(engine.method.search(loop))
        return input_ids

    config = copy(config)
    config.num_beams = 1  # the method forks rows itself
    engine.model.model.generate(
        **prompt,
        past_key_values=cache,
        generation_config=config,
        logits_processor=LogitsProcessorList(processors),
        custom_generate=run,
    )
    return torch.tensor([answer], dtype=torch.long, device=engine.model.device)


class CacheLoop:
    """The loop a method's `search` is given; see `halluc.interventions.search_loop.SearchLoop`.

    Args:
        reader: What `generate` calls for each token: the model, or of BLIP its language model.
        inputs: What it takes next to the tokens.
    """

    def __init__(
        self,
        engine: Engine,
        reader: Any,
        prompt: Tensor,
        inputs: dict[str, Any],
        decoding: DecodingConfig,
        config: GenerationConfig,
        processors: Sequence[Callable[[Any, Any], Any]],
    ) -> None:
        self._engine, self._reader, self._prompt, self._config = engine, reader, prompt, config
        self._inputs, self._processors = inputs, processors
        self._streams = len(engine.memory.streams)
        self.model, self.batch = engine.model, engine.memory.batch
        self.part: int | None = None
        self.beams = decoding.num_beams
        self.max_new_tokens = int(config.max_new_tokens)
        self.end_tokens = list(config.eos_token_id or [])
        self.tokens = prompt.new_zeros(1, 0)
        self._log_probs = torch.zeros(1, 0, device=prompt.device)
        self._first = self.logits = self._read(prompt, first=True)
        cache: FollowedCache = self._inputs["past_key_values"]
        cuts = all(isinstance(layer, Growing) for layer in cache.layers)
        self._of_prompt = None if cuts else deepcopy(cache)

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
        """Go on with copies of these rows, int [M]; nothing is copied where all stay in place."""
        if rows.tolist() == list(range(len(self.tokens))):
            return
        everywhere = self._everywhere(rows)
        self.tokens, self.logits = self.tokens[rows], self.logits[rows]
        self._log_probs = self._log_probs[rows]
        self._prompt = self._prompt[everywhere]
        for key in _BY_TOKEN.keys() & self._inputs.keys():
            value = self._inputs[key]
            if isinstance(value, Tensor):  # M-RoPE's positions are [3 or 4, rows, L]
                of_rows = key == "position_ids" and value.dim() == 3
                self._inputs[key] = value[:, everywhere] if of_rows else value[everywhere]
        self._inputs["past_key_values"].reorder_cache(everywhere)
        self._engine.reorder(everywhere)

    def rollback(self, count: int) -> None:
        """Take the last `count` tokens of every row back, with `logits` as they then were.

        The last token that stays is read again; all of them are where a layer's cache (a sliding
        window, a recurrent state) cannot be cut.
        """
        left = self.tokens.shape[1] - count
        if count < 0 or left < 0:
            raise ValueError(f"cannot take {count} of {self.tokens.shape[1]} tokens back")
        if count == 0:
            return
        again = min(left, 1) if self._of_prompt is None else left
        self._cut(count + again)
        kept, log_probs = self.tokens[:, :left], self._log_probs[:, :left]
        self.tokens, self._log_probs = kept[:, : left - again], log_probs[:, : left - again]
        self.logits = self._first.expand(len(kept), -1)
        for token in kept[:, left - again :].unbind(1):
            self.tokens = torch.cat([self.tokens, token[:, None]], 1)
            self.logits = self._read(self._whole())
        self._log_probs = log_probs

    def forward(self, inputs: Mapping[str, Any]) -> Tensor:
        """Run a pass over other prompts, any number N; return next-token logits, fp32 [N, V]."""
        engine = self._engine
        if self.part is None:
            return engine.forward(inputs).float()
        with engine.serving(engine.method.methods[self.part], engine.memory.of_part(self.part, 0)):
            return engine.forward(inputs).float()

    def score(self) -> Tensor:
        """Return each row's sum of log-probabilities of its tokens, fp32 [N]."""
        return self._log_probs.sum(1)

    def _everywhere(self, rows: Tensor) -> Tensor:
        """Name rows [M] in all streams, which stand below each other, [S * M]."""
        offsets = torch.arange(self._streams, device=rows.device)[:, None] * len(self.tokens)
        return (offsets + rows).flatten()

    def _cut(self, count: int) -> None:
        """Take tokens off the cache and off what else grows with them."""
        if self._of_prompt is None:
            layers: list[Growing] = self._inputs["past_key_values"].layers
            for number, layer in enumerate(layers):
                if number not in self.model.cross_attention:  # there keys are the image
                    layer.crop(-count)
        else:
            cache = deepcopy(self._of_prompt)
            rows = torch.arange(self._streams, device=self.tokens.device)
            cache.reorder_cache(rows.repeat_interleave(len(self.tokens)))
            self._inputs["past_key_values"] = cache
        for key in _BY_TOKEN.keys() & self._inputs.keys():
            value = self._inputs[key]
            if isinstance(value, Tensor):
                dim = _BY_TOKEN[key]
                self._inputs[key] = value.narrow(dim, 0, value.shape[dim] - count)
        self._engine.rollback(count)

    def _whole(self) -> Tensor:
        return torch.cat([self._prompt, self.tokens.repeat(self._streams, 1)], 1)

    def _read(self, input_ids: Tensor, first: bool = False) -> Tensor:
        """Read the last token, at first the whole prompt; return what is made of the logits."""
        reader = self._reader
        if first:
            found = reader._prefill(input_ids, self._config, self._inputs)
        else:
            prepared = reader.prepare_inputs_for_generation(
                input_ids, next_sequence_length=1, **self._inputs
            )
            found = reader(**prepared, return_dict=True)
        self._inputs = reader._update_model_kwargs_for_generation(
            found, self._inputs, is_encoder_decoder=False
        )
        logits: Any = found.logits[:, -1].float()
        for process in self._processors:
            logits = process(input_ids, logits)
        main: Tensor = logits[: len(logits) // self._streams]
        return main
