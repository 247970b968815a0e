"""CHAIR: which objects a caption names, and which of them are not in the image."""
