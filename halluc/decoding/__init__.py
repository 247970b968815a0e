"""Samples to answers: batches, streams, tokens."""

from halluc.decoding.answering import answer_batches, answer_samples
from halluc.decoding.conversations import in_turns
from halluc.decoding.interleave import in_lockstep

__all__ = ["answer_batches", "answer_samples", "in_lockstep", "in_turns"]
