"""From answers to scores: parsers, metrics and intervals, pure functions of stored answers."""
