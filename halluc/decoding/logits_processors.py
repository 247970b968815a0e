"""Logits processors: they read off words, apply the method, and sample alike in any batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import (
    LogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from halluc.config import DecodingConfig

if TYPE_CHECKING:
    from halluc.interventions.engine import Engine


class InTurn(LogitsProcessor):
    """Processors one after the other, as one: `generate` spends time on each that it is given.

    Args:
        processors: In their order; the same one may stand at several places.
    """

    def __init__(self, processors: Sequence[LogitsProcessor]) -> None:
        self._processors = processors

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Hand scores [rows, V] on from one to the next."""
        for processor in self._processors:
            scores = processor(input_ids, scores)
        return scores


class YesNo(LogitsProcessor):
    """Onlooker that keeps log-probabilities of "yes" and "no" at the first generated position.

    Args:
        tokens: Token ids of all one-token spellings of yes, and of no.

    Attributes:
        found: One (log p(yes), log p(no)) for each row, after the first call.
    """

    def __init__(self, tokens: tuple[Sequence[int], Sequence[int]]) -> None:
        self._tokens = tokens
        self.found: list[tuple[float, float]] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Read the scores; return them unchanged."""
        if not self.found:
            log_p = scores.float().log_softmax(-1)
            yes, no = (log_p[:, list(ids)].logsumexp(-1).tolist() for ids in self._tokens)
            self.found = list(zip(yes, no, strict=True))
        return scores


class Letters(LogitsProcessor):
    """Onlooker that keeps log-probabilities of options' letters at the first generated position.

    Args:
        tokens: A letter to the token ids of its one-token spellings.

    Attributes:
        found: Every letter's log-probability for each row, after the first call.
    """

    def __init__(self, tokens: Mapping[str, Sequence[int]]) -> None:
        self._tokens = tokens
        self.found: list[dict[str, float]] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Read the scores; return them unchanged."""
        if not self.found:
            log_p = scores.float().log_softmax(-1)
            sums = torch.stack([log_p[:, list(i)].logsumexp(-1) for i in self._tokens.values()], 1)
            self.found = [dict(zip(self._tokens, row, strict=True)) for row in sums.tolist()]
        return scores


class Entropy(LogitsProcessor):
    """Onlooker that keeps the entropy of the first generated position, in nats, for each row."""

    def __init__(self) -> None:
        self.found: list[float] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Read the scores; return them unchanged."""
        if not self.found:
            log_p = scores.float().log_softmax(-1)
            terms = torch.where(log_p.isinf(), 0.0, log_p.exp() * log_p)
            self.found = (-terms.sum(-1)).tolist()
        return scores


class MethodLogits(LogitsProcessor):
    """Processor in which a method joins the logits of its streams; each stream gets the outcome.

    Streams stand below each other in the batch; since all get the same logits, all choose the same
    token, whether by argmax, by the same noise, or by beams.

    Args:
        engine: Serving the method.
        ruled_out: Whether a checkpoint rules tokens out before the method sees their logits, which
            are then minus infinity; they stay so, whatever the method makes of them.

    Attributes:
        forbidden: The tokens last ruled out, bool [rows, V]; `Forbid` applies it, once yes and no
            are read.
    """

    def __init__(self, engine: Engine, ruled_out: bool = False) -> None:
        self._engine, self._ruled_out = engine, ruled_out
        self.forbidden: Tensor | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Combine scores [S * B, V]."""
        streams = len(self._engine.memory.streams)
        combined, forbidden = self._engine.next_token_logits(scores.float())
        self.forbidden = None if forbidden is None else forbidden.repeat(streams, 1)
        if self._ruled_out:
            lowest = scores.unflatten(0, (streams, -1)).amin(0)
            combined = combined.masked_fill(lowest == -torch.inf, -torch.inf)
        return combined.to(scores).repeat(streams, 1)


class Forbid(LogitsProcessor):
    """Processor that rules out the tokens a method forbids.

    Args:
        made: The processor in which the method runs.
        normalise: Make the outcome log-probabilities again, which beams add up.
    """

    def __init__(self, made: MethodLogits, normalise: bool) -> None:
        self._made, self._normalise = made, normalise

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Mask scores [rows, V]."""
        if self._made.forbidden is not None:
            scores = scores.masked_fill(self._made.forbidden, float("-inf"))
        return scores.float().log_softmax(-1).to(scores) if self._normalise else scores


class GumbelNoise(LogitsProcessor):
    """Each sample's own Gumbel noise, with which the argmax is a draw from the softmax.

    Args:
        seeds: One for each row.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Perturb scores [rows, V]; noise is drawn on the CPU, the same on every device."""
        noise = torch.stack(
            [
                torch.rand(scores.shape[-1], generator=g, dtype=torch.float64)
                for g in self._generators
            ]
        )
        gumbel = -(-noise.clamp(1e-12, 1 - 1e-12).log()).log()
        return scores + gumbel.to(scores)


def sampling(decoding: DecodingConfig, seeds: Sequence[int]) -> list[LogitsProcessor]:
    """Return processors that turn greedy choice into sampling; none if the decoding is greedy."""
    if not decoding.do_sample:
        return []
    chain: list[LogitsProcessor] = []
    if decoding.temperature != 1.0:
        chain.append(TemperatureLogitsWarper(decoding.temperature))
    if decoding.top_k:
        chain.append(TopKLogitsWarper(decoding.top_k))
    if decoding.top_p < 1.0:
        chain.append(TopPLogitsWarper(decoding.top_p))
    return [*chain, GumbelNoise(seeds)]
