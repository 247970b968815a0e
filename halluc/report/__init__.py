"""Runs as one page to open: board, trade-offs, samples, attention."""
