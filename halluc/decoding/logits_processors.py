"""Logits processors: reading off yes and no, and sampling that no batch can change."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
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
    from halluc.interventions import Method


class YesNo(LogitsProcessor):
    """Keeps the log-probabilities of "yes" and "no" at the first generated position.

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


class Entropy(LogitsProcessor):
    """Keeps the entropy of the first generated position, in nats, one for each row."""

    def __init__(self) -> None:
        self.found: list[float] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Read the scores; return them unchanged."""
        if not self.found:
            log_p = scores.float().log_softmax(-1)
            terms = torch.where(log_p.isinf(), 0.0, log_p.exp() * log_p)
            self.found = (-terms.sum(-1)).tolist()
        return scores


class Combine(LogitsProcessor):
    """Lets a method combine its streams, and gives each stream the outcome.

    Streams stand below each other in the batch; since all get the same scores, all choose the same
    token, whether by argmax, by the same noise, or by beams.

    Args:
        method: Its `combine` is called once a token.
        n_streams: S.
        normalise: Make the outcome log-probabilities again, which beams add up.
    """

    def __init__(self, method: Method, n_streams: int, normalise: bool) -> None:
        self._method, self._n_streams, self._normalise = method, n_streams, normalise
        self._step = 0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Combine scores [S * B, V]."""
        streams = scores.float().unflatten(0, (self._n_streams, -1))
        combined = self._method.combine(streams, self._step)
        self._step += 1
        if self._normalise:
            combined = combined.log_softmax(-1)
        return combined.to(scores).repeat(self._n_streams, 1)


class GumbelNoise(LogitsProcessor):
    """Adds each sample's own Gumbel noise, so that the argmax is a draw from the softmax.

    Args:
        seed: The run's seed.
        sample_ids: One for each row.
    """

    def __init__(self, seed: int, sample_ids: Sequence[str]) -> None:
        self._generators = [torch.Generator().manual_seed(_seed(seed, i)) for i in sample_ids]

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


def sampling(decoding: DecodingConfig, sample_ids: Sequence[str]) -> list[LogitsProcessor]:
    """Processors that turn greedy choice into sampling; none if the decoding is greedy."""
    if not decoding.do_sample:
        return []
    chain: list[LogitsProcessor] = []
    if decoding.temperature != 1.0:
        chain.append(TemperatureLogitsWarper(decoding.temperature))
    if decoding.top_k:
        chain.append(TopKLogitsWarper(decoding.top_k))
    if decoding.top_p < 1.0:
        chain.append(TopPLogitsWarper(decoding.top_p))
    return [*chain, GumbelNoise(decoding.seed, sample_ids)]


def _seed(seed: int, sample_id: str) -> int:
    digest = hashlib.sha256(f"{seed}:{sample_id}".encode()).digest()
    return int.from_bytes(digest[:7], "big")
