"""Samples to answers: batches, streams, tokens."""

from halluc.decoding.answer import answer_samples
from halluc.decoding.turns import in_turns

__all__ = ["answer_samples", "in_turns"]
