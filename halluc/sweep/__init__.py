"""A method at many settings: tuned on one part of the images, reported on another."""
