"""AMBER: generative and discriminative metrics."""
