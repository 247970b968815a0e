"""Judges: language models that grade free-form answers."""
