"""Samples to answers: batches, streams, tokens."""

from halluc.decoding.answer import answer_samples

__all__ = ["answer_samples"]
