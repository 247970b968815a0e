"""Answers to scores: parsers, metrics and intervals, all pure functions of stored answers."""
