"""The experiments: one file each, registered by name."""
