"""Seams: the places where a method may read or edit what a model computes, by name."""

from __future__ import annotations

PHASES = ("prefix", "prefill", "decode")
"""The phases of passes in which seams are called."""

SEAMS = (
    "prompt",
    "streams",
    "image_tokens",
    "attention_bias",
    "attention_logits",
    "attention_weights",
    "head_gain",
    "hidden",
    "feed_forward",
    "next_token_logits",
    "search",
    "revise",
    "confidence",
    "weights",
    "prepare",
)
"""All seams of `Method`."""

EDITED_ATTENTION = frozenset({"attention_logits", "attention_weights"})
"""Seams that edit rows of attention, which are then computed explicitly."""
IN_ATTENTION = EDITED_ATTENTION | {"attention_bias", "head_gain"}
"""Seams that the attention of a layer calls."""
IN_LAYERS = frozenset({"hidden", "feed_forward"})
"""Seams that other parts of a layer call."""
