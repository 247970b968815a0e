"""The experiments: one file each, registered by name; no torch at module level."""
