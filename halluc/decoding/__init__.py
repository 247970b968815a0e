"""Samples to answers: batches, streams, tokens."""

from halluc.decoding.answer import answer_batches, answer_samples
from halluc.decoding.lockstep import in_lockstep
from halluc.decoding.turns import in_turns

__all__ = ["answer_batches", "answer_samples", "in_lockstep", "in_turns"]
