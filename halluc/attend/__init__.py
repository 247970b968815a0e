"""The attention behind an answer: what a model looked at when it said each word."""
