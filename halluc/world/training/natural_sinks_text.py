"""Text in which some heads have nothing to do on most tokens: Bigram-Backcopy and plain bigrams.

Bigram-Backcopy is the task of Guo et al., https://arxiv.org/abs/2410.13835, section 2: a Markov
chain over tokens in which a trigger token is followed by the token that stood before it. A head
that copies works on triggers only, and needs somewhere harmless to look on all other tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

VOCABULARY = 64
BOS = 0
"""Stands first in every text, and nowhere else."""
TRIGGERS = (1, 2, 3, 4, 5, 6)
CONCENTRATION = 0.3
"""Of the Dirichlet distribution that each row of the chain is drawn from: 2.4 nats a token."""


@dataclass(frozen=True)
class Text:
    """Texts of a seed: the chain depends on the seed alone, texts on the seed and their number.

    Attributes:
        share: The share of texts in which triggers copy, 0 to 1; the others are plain bigram text.
        seed: Of the chain and of the texts.
    """

    share: float
    seed: int

    @cached_property
    def chain(self) -> NDArray[np.float64]:
        """P(next | token) [VOCABULARY, VOCABULARY]; nothing is followed by BOS."""
        rows = np.zeros((VOCABULARY, VOCABULARY))
        source = np.random.default_rng([self.seed, 0])
        rows[:, BOS + 1 :] = source.dirichlet(np.full(VOCABULARY - 1, CONCENTRATION), VOCABULARY)
        # A trigger right after BOS would copy it, and BOS is never a target.
        rows[BOS, list(TRIGGERS)] = 0.0
        chain: NDArray[np.float64] = rows / rows.sum(1, keepdims=True)
        return chain

    def batch(
        self, number: int, count: int, length: int
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Draw texts that no other number has.

        Args:
            number: Of the batch, from 0.
            count: Texts in it.
            length: Tokens of each text, BOS among them.

        Returns:
            Token ids [count, length], and which texts are Bigram-Backcopy [count].
        """
        source = np.random.default_rng([self.seed, 1, number])
        copies = source.random(count) < self.share
        draws = source.random((count, length))
        limits = self.chain.cumsum(1)
        ids = np.full((count, length), BOS, dtype=np.int64)
        for place in range(1, length):
            last = ids[:, place - 1]
            drawn = (draws[:, place, None] > limits[last]).sum(1).clip(max=VOCABULARY - 1)
            copied = copies & np.isin(last, TRIGGERS)
            ids[:, place] = np.where(copied, ids[:, max(place - 2, 0)], drawn)
        return ids, copies
